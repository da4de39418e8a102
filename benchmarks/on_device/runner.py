"""Execution of a plan within a given time; results are written after every row.

Programs are compiled in threads, one group of rows at a time. A group is measured after all its
programs are compiled, so that compiling and tuning of kernels do not affect the times. If that
takes too long, rows are measured during compilation, and marked.
"""

import dataclasses
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from on_device.report import write_plots, write_report
from on_device.results import Results, Row, relate
from spectrodiff.core.runtime import num_cores

WORKERS = 8
# Time reserved at the end for tables and plots; less in short runs.
RESERVE_SECONDS = 8.0
# Maximum time of a measurement, as a fraction of the run.
ROW_SHARE = 0.02
# Expected compile time of groups from which the speed of compilation is estimated.
SLOW_SECONDS = 20.0
# Minimum time of a measurement, with warm-up and copying.
ROW_SECONDS = 2.0


class Unavailable(Exception):
    """Raised if something cannot be measured, for example because a library is missing."""


@dataclasses.dataclass
class Job:
    """Measurement of a row.

    Attributes:
        row: gets the result.
        measure: returns the result; its arguments are the result of `prepare`, and the seconds it
            should take.
        prepare: compiles programs, in a thread.
        seconds: minimum time that must be left to start.
    """

    row: Row
    measure: Callable[[Any, float], Any]
    prepare: Callable[[], Any] = lambda: None
    seconds: float = ROW_SECONDS


@dataclasses.dataclass
class Group:
    """Rows that are compiled together.

    Attributes:
        name: value of --groups.
        jobs: measurements, the most important ones first.
        compile_seconds: approximate compile time on a GPU, corrected during the run.
    """

    name: str
    jobs: list[Job]
    compile_seconds: float = 0.0


class Runner:
    """Runs groups in order until the time is over.

    Args:
        results: the planned rows.
        seconds: time of the run.
        started: start of the run, from `time.monotonic`.
        out: folder of results.
        row_seconds: time of a measurement; None for a fraction of the run.
    """

    def __init__(
        self,
        results: Results,
        seconds: float,
        started: float,
        out: Path,
        row_seconds: float | None = None,
    ) -> None:
        self.results, self.out = results, out
        self._started, self._seconds = started, seconds
        self._row_seconds = row_seconds or ROW_SHARE * seconds
        self._reserve = min(RESERVE_SECONDS, 0.1 * seconds)
        self._slowness = 0.0 if results.machine.platform == "cpu" else 1.0
        self._pool = ThreadPoolExecutor(min(WORKERS, num_cores()))
        self._futures: list[Future[Any]] = []

    def run(self, groups: Sequence[Group]) -> None:
        """Measures rows while there is time, and marks the others as skipped."""
        for group in groups:
            self._say(f"{group.name}: {len(group.jobs)} rows")
            self._run_group(group)
        self._attempt("plots", lambda: write_plots(self.results, self.out))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def left(self) -> float:
        """Returns the seconds that are left without the reserve."""
        return self._started + self._seconds - self._reserve - time.monotonic()

    def _run_group(self, group: Group) -> None:
        # Less than the estimate: compilation may be faster, and the time would be lost otherwise.
        expected = 0.6 * self._slowness * group.compile_seconds + ROW_SECONDS
        if self.left() < expected:
            note = f"may need {expected:.0f} s, {max(self.left(), 0):.0f} s were left"
            for job in group.jobs:
                self._finish(job.row, "skipped", note)
            return
        begin = time.monotonic()
        waiting = [(job, self._pool.submit(job.prepare)) for job in group.jobs]
        self._futures += [future for _, future in waiting]
        if group.compile_seconds:
            # Plots are drawn during compilation.
            self._attempt("plots", lambda: write_plots(self.results, self.out))
        while waiting:
            # Half of the time that is left, so that a slow compilation leaves time for other rows.
            patience = self.left() / 2 if self.left() > 10 else self.left()
            wait([future for _, future in waiting], timeout=max(patience, 0))
            ready = [entry for entry in waiting if entry[1].done()]
            if not ready and self.left() < ROW_SECONDS:
                break
            if len(ready) == len(group.jobs) and group.compile_seconds >= SLOW_SECONDS:
                # Corrects the estimates of later groups.
                ratio = (time.monotonic() - begin) / group.compile_seconds
                self._slowness = min(max(ratio, 0.2), 2.0)
            for job, future in ready:
                self._measure(job, future)
            waiting = [entry for entry in waiting if entry not in ready]
        for job, future in waiting:
            future.cancel()
            self._finish(job.row, "skipped", "not compiled in time")

    def _measure(self, job: Job, future: Future[Any]) -> None:
        row = job.row
        if self.left() < job.seconds:
            left = max(self.left(), 0)
            self._finish(row, "skipped", f"may need {job.seconds:.0f} s, {left:.0f} s were left")
            return
        allowance = min(self._row_seconds, self.left() - ROW_SECONDS / 2)
        try:
            row.compiling_beside = any(not other.done() for other in self._futures)
            row.measured = job.measure(future.result(), allowance)
        except (Unavailable, ModuleNotFoundError) as reason:
            self._finish(row, "skipped", str(reason))
        except Exception as error:
            traceback.print_exc()
            self._finish(row, "failed", _in_short(error))
        else:
            self._finish(row, "measured", row.note)

    def _finish(self, row: Row, status: Any, note: str) -> None:
        row.status, row.note = status, note
        row.at_seconds = round(time.monotonic() - self._started, 2)
        self._attempt("floors", lambda: relate(self.results))
        self.results.write(self.out)
        self._attempt("tables", lambda: write_report(self.results, self.out))
        self._say(f"{status} {row.name}" + (f": {note}" if note else ""))

    def _attempt(self, what: str, function: Callable[[], None]) -> None:
        """Writes tables or plots; errors are printed and do not stop the run."""
        try:
            function()
        except Exception:
            print(f"{what} could not be written:", flush=True)
            traceback.print_exc()

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", flush=True)


def _in_short(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) < 300 else text[:297] + "..."
