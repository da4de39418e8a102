"""Plan of all rows, in groups, ordered by importance."""

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from on_device import ceilings, machine, report, results
from on_device.port import PortProcess
from on_device.runner import Group, Runner
from on_device.sampling import SamplingBench
from on_device.scale import Scale
from on_device.side import audio_jobs, port_jobs
from on_device.training import TrainingBench
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import check_writable

BOTH = ("ddpm", "dpmpp")
STATUSES = ("measured", "skipped", "failed")


def run(
    groups: Sequence[str],
    scale: Scale,
    out: Path,
    seconds: float,
    started: float,
    port_python: str,
) -> results.Results:
    """Measures rows within a given time, and prints and returns the results.

    Args:
        groups: names of groups, in order.
        scale: sizes of the measurements.
        out: folder of results.
        seconds: maximum time.
        started: start of the time, from `time.monotonic`.
        port_python: Python with torch and diffusers.

    Raises:
        OutputError: if the folder cannot be written to.
        ConfigError: if there is no accelerator, and the sizes are too large for a CPU.
    """
    check_writable(out)
    described = machine.describe(seconds / 60)
    if described.platform == "cpu" and not scale.for_cpu:
        raise ConfigError("device", "an accelerator, or --tiny", "only the CPU")
    logging.getLogger("absl").setLevel(logging.ERROR)
    wanted = any(name.startswith("port") for name in groups)
    process = PortProcess(port_python) if wanted else None
    with tempfile.TemporaryDirectory(prefix="spectrodiff-benchmark-") as folder:
        try:
            planned = plan(groups, scale, process, Path(folder))
            found = results.Results(described, [job.row for part in planned for job in part.jobs])
            runner = Runner(found, seconds, started, out, scale.row_seconds)
            found.write(out)
            try:
                described.float32_error = ceilings.float32_error()
            except Exception as error:
                print(f"the precision of products could not be measured: {error}", flush=True)
            runner.run(planned)
            if process is not None:
                described.versions |= process.hello(0.1).get("versions", {})
            found.write(out)
            report.write_report(found, out)
        finally:
            if process is not None:
                process.stop()
    print("\n" + report.summary(found), flush=True)
    counts = [f"{sum(row.status == status for row in found.rows)} {status}" for status in STATUSES]
    print(f"\n{', '.join(counts)}; see {out / report.REPORT_FILE}", flush=True)
    return found


def plan(
    groups: Sequence[str], scale: Scale, process: PortProcess | None, folder: Path
) -> list[Group]:
    """Returns groups by their names.

    Sampling with many steps is compiled first; then the kernels for few steps are already tuned.

    Args:
        groups: names of groups.
        scale: sizes of the measurements.
        process: of the port; needed only for its groups.
        folder: for a corpus.
    """
    sampling, training = SamplingBench(scale), TrainingBench(scale, folder)

    def sample(group: str, precision: str) -> list[Group]:
        return [
            Group(group, sampling.jobs(group, precision, scale.first_batches, (name,)), seconds)
            for name, seconds in (("ddpm", 50.0), ("dpmpp", 25.0))
        ]

    def sample_later(group: str) -> list[Group]:
        return [
            Group(group, sampling.jobs(group, precision, scale.later_batches, BOTH), 50.0)
            for precision in ("bfloat16", "float32")
        ]

    def port(group: str, *, compiled: bool) -> list[Group]:
        assert process is not None
        return [Group(group, port_jobs(group, scale, process, compiled=compiled))]

    makers: dict[str, Callable[[str], list[Group]]] = {
        "ceilings": lambda name: [Group(name, ceilings.jobs(scale), 5.0)],
        "sampling": lambda name: sample(name, "bfloat16"),
        "training": lambda name: [Group(name, training.jobs(name, 0), 50.0)],
        "port": lambda name: port(name, compiled=False),
        "determinism": lambda name: [Group(name, training.repeat_jobs(name))],
        "loader": lambda name: [Group(name, training.loader_jobs(name))],
        "sampling-float32": lambda name: sample(name, "float32"),
        "larger-batches": lambda name: [Group(name, training.jobs(name, 1), 50.0)],
        "batch-4": sample_later,
        "sound": lambda name: [Group(name, audio_jobs(name, scale), 15.0)],
        "port-compiled": lambda name: port(name, compiled=True),
    }
    return [group for name in groups for group in makers[name](name)]
