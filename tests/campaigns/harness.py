"""Campaigns: many seeded attempts in child processes with limits, resumable and side by side.

A campaign makes an input from a seed and tries it. An attempt returns what became of the input,
such as "refused", or raises an error, which is a fault. A process that ends, takes too long or
needs too much memory is a fault, too. `run` counts outcomes, and `smallest` makes the input of a
fault smaller while the fault stays.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from spectrodiff.core.json_files import write_json

ROOT = Path(__file__).parents[2]
CHILD = (sys.executable, "-m", "tests.campaigns.child")
READY = "ready\n"
FAULT = "fault"
# Enough for halves, quarters, ... of most inputs.
TRIES_TO_SHRINK = 200
_PIECES = (2, 4, 8, 16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of one attempt.

    Attributes:
        cpu_seconds: processor time of its process, whatever else the machine does; None for none.
        seconds: time after which it hangs, far above what it takes on a busy machine.
        memory_bytes: growth of its process; None for none.
    """

    cpu_seconds: float | None = None
    seconds: float = 120
    memory_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Campaign:
    """Attempts of one kind.

    Attributes:
        make: makes the input of a seed: always the same, and an object that can be pickled.
        attempt: tries an input and returns what became of it in a word; raises an error if anything
            is not as promised.
        limits: of one attempt.
        apart: every attempt is in a process of its own, whose memory is measured; otherwise a
            process makes attempts one after the other until one ends it.
        smaller: returns inputs that are smaller than an input, the smallest first.
        store: writes an input below a path without suffix, for people who look for the fault.
        block: number of attempts per process and per line of progress.
        words: returns words before the command of a process, such as one that gives it mounts of
            its own.
        prepare: is called once, in the process that starts those of the attempts.
    """

    make: Callable[[int], Any]
    attempt: Callable[[Any], str]
    limits: Limits
    apart: bool = False
    smaller: Callable[[Any], Iterable[Any]] = lambda _: ()
    store: Callable[[Any, Path], None] | None = None
    block: int = 500
    words: Callable[[], Sequence[str]] = tuple
    prepare: Callable[[], object] = lambda: None


@dataclasses.dataclass
class Outcome:
    """Counts of the attempts of a campaign by what became of them.

    Attributes:
        counts: number of attempts by kind.
        faults: what went wrong, by seed.
    """

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    faults: dict[int, str] = dataclasses.field(default_factory=dict)

    def add(self, results: Iterable[tuple[int, str, str]]) -> None:
        """Adds results: seed, kind, and what went wrong."""
        for seed, kind, text in results:
            self.counts[kind] += 1
            if kind == FAULT:
                self.faults[seed] = text

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        tried, faults = self.counts.total(), self.counts[FAULT]
        return f"{tried} tried, {tried - faults} survived ({kinds or 'none'}), {faults} faults"


def load(name: str) -> Campaign:
    """Returns the campaign in a module, given as tests.campaigns.NAME or by another path."""
    campaign: Campaign = importlib.import_module(name).CAMPAIGN
    return campaign


def run(
    name: str,
    seeds: range,
    *,
    workers: int = 1,
    folder: Path | None = None,
    goes_on: Callable[[], bool] = lambda: True,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Makes the attempts of some seeds.

    Args:
        name: module of the campaign.
        seeds: of the attempts.
        workers: number of processes side by side.
        folder: holds `state.json`, from which the same campaign goes on after an interruption.
        goes_on: False ends the campaign after the blocks that are under way.
        say: is called with a line after each block.
    """
    campaign = load(name)
    campaign.prepare()
    done, outcome = _read_state(folder, campaign.block)
    starts = range(seeds.start, seeds.stop, campaign.block)
    left = (start for start in starts if start not in done)
    saved = threading.Lock()

    def work() -> None:
        while goes_on():
            with saved:
                start = next(left, None)
            if start is None:
                return
            some = range(start, min(start + campaign.block, seeds.stop))
            results = list(_attempts(name, campaign, some))
            with saved:
                outcome.add(results)
                done.append(start)
                _write_state(folder, campaign.block, done, outcome)
                say(str(outcome))

    with ThreadPoolExecutor(workers) as pool:
        for future in as_completed([pool.submit(work) for _ in range(workers)]):
            future.result()
    return outcome


def smallest(name: str, seed: int, text: str) -> Any:
    """Returns the smallest input found that has the fault of a seed.

    Args:
        name: module of the campaign.
        seed: that of the fault.
        text: what went wrong.
    """
    campaign = load(name)
    found, tries = campaign.make(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input"
        while True:
            for candidate in campaign.smaller(found):
                if (tries := tries + 1) > TRIES_TO_SHRINK:
                    return found
                file.write_bytes(pickle.dumps(candidate))
                ((_, kind, got),) = _attempts(name, campaign, range(1), ["--input", str(file)])
                if kind == FAULT and last_line(got) == last_line(text):
                    found = candidate
                    break
            else:
                return found


def smaller_bytes(data: bytes) -> Iterator[bytes]:
    """Yields some bytes without a half, a quarter, an eighth ... of them."""
    for pieces in _PIECES:
        size = -(-len(data) // pieces)
        for start in range(0, len(data) if size else 0, size or 1):
            yield data[:start] + data[start + size :]
        if size == 1:
            return


def store_as_json(made: Any, path: Path) -> None:
    """Writes an input that is a dataclass."""
    path.with_suffix(".json").write_text(json.dumps(dataclasses.asdict(made), indent=1))


def last_line(text: str) -> str:
    """Returns the last line of a traceback."""
    return (text.strip().splitlines() or [""])[-1]


def _attempts(
    name: str, campaign: Campaign, seeds: range, words: Sequence[str] = ()
) -> Iterator[tuple[int, str, str]]:
    """Yields the results of all seeds, from as many processes as it takes."""
    while seeds:
        for seed, kind, text in _in_process(name, campaign, seeds, words):
            yield seed, kind, text
            seeds = range(seed + 1, seeds.stop)


def _in_process(
    name: str, campaign: Campaign, seeds: range, words: Sequence[str]
) -> Iterator[tuple[int, str, str]]:
    """Yields the results of seeds, up to one that ends the process.

    Raises:
        RuntimeError: if the process does not begin.
    """
    command = [*campaign.words(), *CHILD, name, str(seeds.start), str(seeds.stop), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            lines = _lines(process, campaign.limits.seconds)
            if next(lines, "") != READY:
                raise RuntimeError(f"the process of {name} does not begin")
            seed = seeds.start
            for line in lines:
                seed, kind, text = json.loads(line)
                yield seed, kind, text
                seed += 1
        finally:
            # Attempts may have started processes.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if seed < seeds.stop:
        yield seed, FAULT, ending(process.returncode, campaign.limits)


def _lines(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[str]:
    """Yields the lines that a process prints, until it ends or prints none for some time."""
    pending = b""
    while select.select([process.stdout], [], [], seconds)[0]:
        new = os.read(process.stdout.fileno(), 1 << 16)  # type: ignore[union-attr]
        if not new:
            process.wait()
            return
        *lines, pending = (pending + new).split(b"\n")
        yield from (line.decode() + "\n" for line in lines)


def ending(code: int, limits: Limits) -> str:
    """Returns why a process ended, from its exit code."""
    if code == -signal.SIGPROF:
        return f"more than {limits.cpu_seconds} s of processor time"
    if code == -signal.SIGKILL:
        return f"ended by SIGKILL, or more than {limits.seconds} s"
    return f"ended by {signal.Signals(-code).name if code < 0 else f'exit {code}'}"


def _read_state(folder: Path | None, block: int) -> tuple[list[int], Outcome]:
    path = folder / "state.json" if folder else None
    if path is None or not path.exists():
        return [], Outcome()
    state = json.loads(path.read_text())
    if state["block"] != block:
        raise ValueError(f"{path}: expected blocks of {block}, got {state['block']}")
    faults = {int(seed): text for seed, text in state["faults"].items()}
    return state["done"], Outcome(Counter(state["counts"]), faults)


def _write_state(folder: Path | None, block: int, done: list[int], outcome: Outcome) -> None:
    if folder:
        state = {"block": block, "done": done, "counts": outcome.counts, "faults": outcome.faults}
        write_json(folder / "state.json", state)
