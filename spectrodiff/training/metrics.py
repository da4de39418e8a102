"""Metrics of a run: JSON lines, loggers, and log lines with loss and speed."""

import contextlib
import datetime
import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from spectrodiff.core.errors import ConfigError, SpectrodiffError, first_line
from spectrodiff.core.files import atomic_file, read_regular
from spectrodiff.core.progress import Progress
from spectrodiff.training.journal import Journal
from spectrodiff.training.loggers import open_loggers
from spectrodiff.training.loggers.logger import LoggedRun, Logger
from spectrodiff.training.settings import LoggerName

logger = logging.getLogger(__name__)
METRICS_FILE = "metrics.jsonl"
# A row for each of a million steps takes half of it.
_MAX_LOG_BYTES = 1 << 30
EVALUATION = "evaluation/"  # prefix of the names of scores


class DivergedError(SpectrodiffError):
    """Loss or gradient that is not finite."""


class PendingMetrics:
    """Metrics of steps that the devices may still be computing.

    They are read together from time to time, because reading waits for the devices.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[int, dict[str, jax.Array]]] = []

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Adds the metrics of a step; waits for those of two steps before.

        Otherwise the host would run far ahead, with a batch in the devices' memory for every step.
        """
        self._steps.append((step, metrics))
        if len(self._steps) > 2:
            jax.block_until_ready(self._steps[-3][1])

    def take(self) -> dict[str, float]:
        """Waits for all metrics, and returns and removes their means over the steps.

        Raises:
            DivergedError: if one is not finite; names the first such step.
        """
        steps = [(step, jax.device_get(metrics)) for step, metrics in self._steps]
        self._steps.clear()
        for step, metrics in steps:
            for name, value in metrics.items():
                if not math.isfinite(value):
                    raise DivergedError(f"step {step}", f"a finite {name}", str(value))
        names = steps[0][1] if steps else {}
        return {name: float(np.mean([metrics[name] for _, metrics in steps])) for name in names}

    def check(self) -> None:
        """Checks that all metrics are finite, without removing them.

        Raises:
            DivergedError: if one is not.
        """
        steps = self._steps.copy()
        self.take()
        self._steps = steps


class MetricsWriter:
    """Appends to `metrics.jsonl`, after removing the rows of later steps, and to loggers.

    A full or missing disk does not stop the run: see `Journal`. Nor do loggers that fail.

    Args:
        folder: of the run.
        step: that the run resumes from. A run killed between checkpoints repeats some steps, and
            a run without a checkpoint, at 0, repeats all.
        loggers: names of the loggers.
        project: name under which services collect runs.
        enabled: False for a writer that does nothing.

    Raises:
        OutputError: if rows must be removed and the file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        *,
        loggers: Sequence[LoggerName] = ("tensorboard",),
        project: str = "spectrodiff",
        enabled: bool = True,
    ) -> None:
        self._rows: Journal | None = None
        self._loggers: list[Logger] = []
        self._evaluated: set[int] = set()
        if enabled:
            for row in _remove_after(folder / METRICS_FILE, step if step > 0 else -1):
                if any(name.startswith(EVALUATION) for name in row):
                    self._evaluated.add(row["step"])
            self._rows = Journal(folder / METRICS_FILE)
            self._loggers = open_loggers(loggers, LoggedRun(folder, step, project))

    def evaluated(self, step: int) -> bool:
        """Returns True if an earlier process wrote scores of a step, or if not enabled."""
        return self._rows is None or step in self._evaluated

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes named numbers."""
        if self._rows is not None:
            self._rows.add((json.dumps({"step": step, **values}) + "\n").encode())
        for logger in self._loggers:
            logger.scalars(step, values)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Sends a PNG file to the loggers."""
        if self._loggers:
            import matplotlib.image

            pixels = np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint8)
            for logger in self._loggers:
                logger.picture(step, name, pixels)

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Sends mono audio, float32 [samples], to the loggers."""
        for logger in self._loggers:
            logger.audio(step, name, audio)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rows is not None:
            self._rows.close()
        for logger in self._loggers:
            logger.close(failed=kind is not None)


class Speedometer:
    """Speed, amount of training and remaining time of a run, in the log or a progress bar.

    Args:
        start: step that the process starts after.
        total: the last step.
        batch_size: number of examples per step.
        segment_seconds: audio per example.
        enabled: False for a process that logs nothing.
    """

    def __init__(
        self, start: int, total: int, batch_size: int, segment_seconds: float, *, enabled: bool
    ) -> None:
        self._total, self._batch_size, self._enabled = total, batch_size, enabled
        self._hours_per_step = batch_size * segment_seconds / 3600
        self._step, self._time = start, time.monotonic()
        self._on_terminal = sys.stderr.isatty()
        self._bar = Progress("training", total, "step", enabled=enabled and self._on_terminal)
        self._bar.advance(start)

    def step_done(self) -> None:
        """Advances the progress bar."""
        self._bar.advance()

    def report(self, step: int, values: dict[str, float]) -> dict[str, float]:
        """Logs loss and speed; returns the values with speed and amount of training."""
        now = time.monotonic()
        per_second = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time = step, now
        hours, left_seconds = step * self._hours_per_step, (self._total - step) / per_second
        left = str(datetime.timedelta(seconds=round(left_seconds)))
        rate = per_second * self._batch_size
        note = (
            f"loss {values['loss']:.4f}, {rate:.3g} examples/s, {hours:.3g} h of audio, {left} left"
        )
        self._bar.show(note)
        if self._enabled and not self._on_terminal:
            logger.info("step %d of %d: %s", step, self._total, note)
        return {**values, "examples_per_second": rate, "audio_hours": hours}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes work from the training time."""
        start = time.monotonic()
        yield
        self._time += time.monotonic() - start


def _remove_after(path: Path, step: int) -> list[dict[str, Any]]:
    """Removes the rows of later steps, and incomplete ones, from a file; returns the others."""
    if not path.exists():
        return []
    try:
        before = read_regular(path, _MAX_LOG_BYTES)
    except OSError as error:
        raise ConfigError(str(path), "the metrics of the run", first_line(error)) from error
    lines = before.decode("utf-8", errors="replace").splitlines()
    rows = [row for row in map(_read_row, lines) if row is not None and row["step"] <= step]
    kept = "".join(json.dumps(row) + "\n" for row in rows)
    if kept.encode() != before:
        with atomic_file(path) as temporary:
            temporary.write_text(kept)
    return rows


def _read_row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
