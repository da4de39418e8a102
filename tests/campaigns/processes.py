"""Processes of commands that are interrupted, and the results of those that were not."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spectrodiff.core.files import PARTIAL
from tests.campaigns.harness import ROOT, Limits
from tests.campaigns.jobs import JOBS, Job, Result
from tests.campaigns.shared_library import CACHE, compiled
from tests.support import tiny

# A command that takes longer than this hangs, however busy the machine is.
SECONDS = 900
# Of an attempt, which runs several commands.
LIMITS = Limits(seconds=6000)
POLL_SECONDS = 0.01
# A command that takes less of the processor for so long waits for something.
IDLE_SECONDS, IDLE_SHARE = 20, 0.02
# Of files and folders that are being written.
_UNFINISHED = (PARTIAL, "incomplete.", ".orbax-checkpoint-tmp")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Whole:
    """Record of a command that nobody interrupts.

    Attributes:
        result: what it writes.
        cpu_seconds: processor time it takes.
        changes: number of changes to files; 0 if they cannot be counted here.
        folder: holds `inputs` and `cache`, with compiled programs.
    """

    result: Result
    cpu_seconds: float
    changes: int
    folder: Path


class Place:
    """Folder of an attempt, with its own inputs and cache.

    Args:
        job: the command.
        folder: new folder.
        cold: nothing is in the cache.

    Attributes:
        home: what the command reads.
        out: what it writes.
        wrap: changes the command line.
    """

    def __init__(self, job: Job, folder: Path, *, cold: bool = False) -> None:
        self.job, self.folder = job, folder.resolve()
        self.home, self.out = self.folder / "inputs", self.folder / "results/out"
        self.cache = self.folder / "cache"
        self.cold = cold
        self.wrap: Callable[[list[str]], list[str]] = list
        self._started = 0

    def copy(self, folder: Path) -> None:
        """Copies inputs and the cache from a folder."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder / "inputs", self.home)
        if not self.cold and (folder / "cache").exists():
            shutil.copytree(folder / "cache", self.cache)

    def start(self, more: Mapping[str, str] | None = None) -> "Process":
        """Starts the command, with more environment variables."""
        temporary = self.folder.with_name("tmp")
        temporary.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "SPECTRODIFF_CACHE": str(self.cache),
            "TMPDIR": str(temporary),
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": "1",
            **tiny.QUICK_TO_COMPILE,
            # Otherwise compiled programs are found only where they were compiled.
            "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
            **(more or {}),
        }
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        self._started += 1
        words = self.job.words(self.home, self.out)
        return Process(self.wrap(words), environment, self.folder / f"output-{self._started}")

    def finish(self, more: Mapping[str, str] | None = None) -> str:
        """Runs the command to its end; returns what it says.

        Raises:
            AssertionError: if it fails.
        """
        with self.start(more) as process:
            code = process.wait()
        assert code == 0, f"exit status {code}: {process.said()}"
        return process.said()


class Process:
    """A command that is running in a process group of its own.

    Args:
        words: command line.
        environment: its variables.
        output: file for what it prints.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
        self.words, self.output = words, output
        # Otherwise a campaign that is stopped would leave it running.
        follows = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
        with open(output, "wb") as file:
            self._process = subprocess.Popen(
                [*follows, *words],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kills the process and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def send(self, number: int, *, to_group: bool = False) -> None:
        """Sends a signal to the process, or to its group, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to_group else os.kill)(self._process.pid, number)

    def wait(self, seconds: float = SECONDS) -> int:
        """Returns the exit status; negative for the signal that ended the process.

        Raises:
            AssertionError: if that takes too long.
        """
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"more than {seconds} s: {self.said()}") from None

    def wait_for(self, cpu_seconds: float) -> bool:
        """Waits until the group has used some processor time, or waits itself.

        Returns:
            False if it ended before.
        """
        end = time.monotonic() + SECONDS
        busy, seen = 0.0, time.monotonic()
        while self._process.poll() is None:
            used = self.cpu_seconds()
            if used >= busy + IDLE_SECONDS * IDLE_SHARE:
                busy, seen = used, time.monotonic()
            if used >= cpu_seconds or time.monotonic() >= seen + IDLE_SECONDS:
                return True
            assert time.monotonic() < end, f"more than {SECONDS} s: {self.said()}"
            time.sleep(POLL_SECONDS)
        return False

    def cpu_seconds(self) -> float:
        """Returns the processor time of the group so far."""
        return sum(map(_cpu_ticks, _group(self._process.pid))) / _TICKS

    def said(self) -> str:
        """Returns what it has printed."""
        return self.output.read_text(errors="replace")


def _group(leader: int) -> Iterator[list[str]]:
    """Yields the status of the processes of a group: the words after the name."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = path.read_text(errors="replace").rpartition(")")[2].split()
            if words[2] == str(leader):
                yield words


def _cpu_ticks(words: Sequence[str]) -> int:
    # Its own, and those of children that have ended.
    return sum(map(int, words[11:15]))


@functools.cache
def whole(name: str) -> Whole:
    """Returns result and cost of a command, computed once for each state of the code."""
    folder = CACHE / _state_of_code() / name.replace(" ", "_")
    stored = folder / "whole.json"
    if not stored.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            made = Path(temporary) / "made"
            (made / "inputs").mkdir(parents=True)
            JOBS[name].write(made / "inputs")
            compiled = CACHE / "compiled" / folder.name
            if not compiled.exists():
                _run_once(JOBS[name], made, compiled)
            values = _run_once(JOBS[name], made, compiled)
            (made / stored.name).write_text(json.dumps(values))
            with contextlib.suppress(OSError):  # another process was faster
                made.rename(folder)
    return Whole(**json.loads(stored.read_text()), folder=folder)


def _run_once(job: Job, folder: Path, compiled: Path) -> dict[str, Any]:
    """Runs a command to its end; returns result, time and changes, and keeps compiled programs."""
    with scratch() as place_folder:
        place = Place(job, place_folder / "place")
        if compiled.exists():
            shutil.copytree(compiled, folder / "cache")
        place.copy(folder)
        with counting(place.folder) as (environment, changes):
            before = _cpu_seconds_of_children()
            place.finish(environment)
            used, changed = _cpu_seconds_of_children() - before, changes()
        shutil.rmtree(compiled, ignore_errors=True)
        place.cache.mkdir(exist_ok=True)
        shutil.copytree(place.cache, compiled, dirs_exist_ok=True)
        result = json.loads(json.dumps(job.result(place.out)))
        return {"result": result, "cpu_seconds": used, "changes": changed}


def _cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yields a temporary folder without links in its path."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        yield Path(name).resolve()


@contextlib.contextmanager
def counting(folder: Path, last: int = 0) -> Iterator[tuple[dict[str, str], Callable[[], int]]]:
    """Yields environment variables that count changes of files, and a function that reads them.

    Args:
        folder: what is below it counts.
        last: the change at which the process group is killed; 0 for none.
    """
    library = counter_library()
    if library is None:
        yield {}, lambda: 0
        return
    counter = folder.with_name(f"{folder.name}-counter")
    counter.write_bytes(bytes(8))
    try:
        yield (
            {
                "LD_PRELOAD": str(library),
                "CAMPAIGN_FOLDER": f"{folder}/",
                "CAMPAIGN_COUNTER": str(counter),
                "CAMPAIGN_LAST": str(last),
            },
            lambda: struct.unpack("q", counter.read_bytes())[0],
        )
    finally:
        counter.unlink()


def counter_library() -> Path | None:
    """Returns the library that counts changes of files, or None where it cannot be compiled."""
    return compiled(Path(__file__).with_name("last_operation.c"))


def assert_same(ours: Result, wanted: Result) -> None:
    """Checks that a result is that of a command that was not interrupted.

    Raises:
        AssertionError: if it is not; it says what differs.
    """
    lines = list(_differences("", json.loads(json.dumps(ours)), wanted))
    assert not lines, "another result: " + "; ".join(lines)[:2000]


def _differences(name: str, ours: Any, wanted: Any) -> Iterator[str]:
    """Yields what differs in two values of JSON, by the path of names."""
    if isinstance(ours, dict) and isinstance(wanted, dict):
        for key in sorted(ours.keys() | wanted.keys()):
            place = f"{name}/{key}".removeprefix("/")
            yield from _differences(place, ours.get(key, "nothing"), wanted.get(key, "nothing"))
    elif isinstance(ours, list) and isinstance(wanted, list) and len(ours) == len(wanted):
        for number, (one, other) in enumerate(zip(ours, wanted, strict=True)):
            yield from _differences(f"{name}/{number}", one, other)
    elif ours != wanted:
        yield f"{name}: expected {wanted}, got {ours}"


def assert_no_halves(place: Place, wanted: Whole) -> None:
    """Checks that what an interrupted command leaves is complete, file by file or as a whole.

    Raises:
        AssertionError: if it is not.
    """
    if not place.out.exists():
        return
    there = place.job.result(place.out)
    if place.job.at_once:
        assert not there or there == wanted.result, f"half of a result: {sorted(there)}"
    # Files of the command itself, not rows of a journal or parts of a checkpoint.
    for name, value in there.items():
        if name in wanted.result and " " not in name:
            assert value == wanted.result[name], f"half of {name}"


def finish_as_whole(place: Place, wanted: Whole) -> None:
    """Runs an interrupted command again, unless all is there, and checks that all is as wanted.

    Raises:
        AssertionError: if it is not, or the command finds anything damaged.
    """
    job = place.job
    if not (job.refuses and place.out.exists()):
        resumes = job.resumes(place.out)
        there = [path for path in place.out.rglob("*") if _is_kept(path, job)]
        kept = {path: path.stat().st_mtime_ns for path in there}
        said = place.finish()
        again = [path.name for path, time in kept.items() if path.stat().st_mtime_ns != time]
        assert not again, f"written again: {again}"
        assert resumes in said, f"{resumes!r} is not in {said}"
        assert_calm(said)
    assert_same(job.result(place.out), wanted.result)
    assert_no_leftovers(place)


def _is_kept(path: Path, job: Job) -> bool:
    return path.suffix in job.kept and _UNFINISHED[0] not in path.name


def assert_calm(said: str) -> None:
    """Checks that a command does not fail and finds nothing damaged.

    Raises:
        AssertionError: if it does.
    """
    # JAX writes its cache in place, so that a kill damages it; that is said, and it is mended.
    said = said.replace("damaged compiled programs are removed", "")
    for word in ("Traceback", "damaged", "Exception ignored"):
        assert word not in said, said


def assert_no_leftovers(place: Place) -> None:
    """Checks that a finished result has no remains of earlier processes in it.

    Raises:
        AssertionError: if it has.
    """
    names = [path.name for path in place.out.rglob("*")]
    left = [name for name in names if any(word in name for word in _UNFINISHED)]
    assert place.job.leaves or not left, f"left behind: {left}"


def _state_of_code() -> str:
    """Returns a checksum of all code that results depend on."""
    import jax

    files = [*ROOT.glob("*.py"), *(ROOT / "spectrodiff").rglob("*.py")]
    files += [ROOT / "tests/campaigns" / name for name in ("jobs.py", "processes.py")]
    total = hashlib.sha256(f"{sys.version} {jax.__version__}".encode())
    for path in sorted(files):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]
