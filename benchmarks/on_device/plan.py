"""All rows, in groups, in the order of their importance."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from on_device import ceilings, machine, report, results
from on_device.port import PortProcess
from on_device.runner import Group, Runner
from on_device.sampling import SamplingBench
from on_device.scale import FULL, TINY, Scale
from on_device.side import port_jobs, sound_jobs
from on_device.training import TrainingBench
from spectrodiff.files import check_writable

BOTH = ("ddpm", "dpmpp")
STATUSES = ("measured", "skipped", "failed")


def run(
    groups: Sequence[str],
    out: Path,
    minutes: float,
    started: float,
    port_python: str,
    *,
    tiny: bool,
) -> None:
    """Measures what fits the time.

    Args:
        groups: names, in the order in which they are to be measured.
        out: the folder of results.
        minutes: how long it may take.
        started: when these began, by `time.monotonic`.
        port_python: a Python with torch and diffusers.
        tiny: with tiny sizes.

    Raises:
        OutputError: if the folder cannot be written to.
    """
    check_writable(out)
    logging.getLogger("absl").setLevel(logging.ERROR)
    wanted = any(name.startswith("port") for name in groups)
    process = PortProcess(port_python) if wanted else None
    try:
        planned = plan(groups, TINY if tiny else FULL, process)
        found = results.Results(
            machine.describe(minutes), [job.row for group in planned for job in group.jobs]
        )
        runner = Runner(found, 60 * minutes, started, out)
        found.write(out)
        try:
            found.machine.float32_error = ceilings.float32_error()
        except Exception as error:
            print(f"the precision of products could not be measured: {error}", flush=True)
        runner.run(planned)
        if process is not None:
            found.machine.versions |= process.hello(0.1).get("versions", {})
        found.write(out)
        report.write_report(found, out)
    finally:
        if process is not None:
            process.stop()
    print("\n" + report.summary(found), flush=True)
    counts = [f"{sum(row.status == status for row in found.rows)} {status}" for status in STATUSES]
    print(f"\n{', '.join(counts)}; see {out / report.REPORT_FILE}", flush=True)


def plan(groups: Sequence[str], scale: Scale, process: PortProcess | None) -> list[Group]:
    """The groups by name; sampling comes in two, which share what is tuned on the device."""
    sampling, training = SamplingBench(scale), TrainingBench(scale)
    first, last = scale.batches[:2], scale.batches[2:]

    def sample(group: str, precision: str, batches: tuple[int, ...]) -> list[Group]:
        return [
            Group(group, sampling.jobs(group, precision, batches, (sampler,)), seconds)
            for sampler, seconds in zip(BOTH, (50.0, 25.0), strict=True)
        ]

    def port(group: str, *, compiled: bool) -> list[Group]:
        return [Group(group, port_jobs(group, scale, process, compiled=compiled))]

    makers: dict[str, Callable[[str], list[Group]]] = {
        "ceilings": lambda name: [Group(name, ceilings.jobs(scale), 5.0)],
        "sampling": lambda name: sample(name, "bfloat16", first),
        "training": lambda name: [Group(name, training.jobs(name, 0), 50.0)],
        "port": lambda name: port(name, compiled=False),
        "determinism": lambda name: [Group(name, training.repeat_jobs(name))],
        "loader": lambda name: [Group(name, training.loader_jobs(name))],
        "sampling-float32": lambda name: sample(name, "float32", first),
        "larger-batches": lambda name: [Group(name, training.jobs(name, 1), 50.0)],
        "batch-4": lambda name: [
            *sample(name, "bfloat16", last),
            *sample(name, "float32", last),
        ],
        "sound": lambda name: [Group(name, sound_jobs(name, scale), 15.0)],
        "port-compiled": lambda name: port(name, compiled=True),
    }
    return [group for name in groups for group in makers[name](name)]
