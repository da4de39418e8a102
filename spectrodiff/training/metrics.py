"""Numbers that a run leaves behind: a JSON line per report, TensorBoard, and one line to read."""

import contextlib
import datetime
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from spectrodiff.core.errors import SpectrodiffError
from spectrodiff.core.files import atomic_file
from spectrodiff.core.progress import Progress
from spectrodiff.training.journal import Board, Journal

logger = logging.getLogger(__name__)
METRICS_FILE, TENSORBOARD_FOLDER = "metrics.jsonl", "tensorboard"
EVALUATION = "evaluation/"  # begins the names of scores


class DivergedError(SpectrodiffError):
    """A run whose loss or gradient is no longer a number."""


class PendingMetrics:
    """Metrics of steps that the devices may still be working on.

    They are looked at together now and then, because looking waits for the devices.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[int, dict[str, jax.Array]]] = []

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Notes the metrics of a step; waits for the step before the last one.

        Otherwise the host would run far ahead, with a batch on the devices for every step.
        """
        self._steps.append((step, metrics))
        if len(self._steps) > 2:
            jax.block_until_ready(self._steps[-3][1])

    def take(self) -> dict[str, float]:
        """Means since the last time, after waiting for all of them.

        Raises:
            DivergedError: if one is not finite, naming the first such step.
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
        """Makes sure that all steps so far were finite, without forgetting them.

        Raises:
            DivergedError: if one was not.
        """
        steps = self._steps.copy()
        self.take()
        self._steps = steps


class MetricsWriter:
    """Appends to `metrics.jsonl` and TensorBoard; what came after `step` is forgotten first.

    A disk that is full, or away, does not stop the run: see `Journal`.

    Args:
        folder: of the run.
        step: where the run goes on; a run killed between checkpoints repeats some steps, and one
            that begins, at 0, repeats all.
        enabled: False for a writer that does nothing.

    Raises:
        OutputError: if rows have to be taken out and that cannot be written.
    """

    def __init__(self, folder: Path, step: int, *, enabled: bool = True) -> None:
        self._rows: Journal | None = None
        self._board: Board | None = None
        self._evaluated: set[int] = set()
        if enabled:
            for row in _forget_after(folder / METRICS_FILE, step if step > 0 else -1):
                if any(name.startswith(EVALUATION) for name in row):
                    self._evaluated.add(row["step"])
            self._rows = Journal(folder / METRICS_FILE)
            self._board = Board(folder / TENSORBOARD_FOLDER, step + 1)

    def evaluated(self, step: int) -> bool:
        """True if there are scores of a step from an earlier start, or this does nothing."""
        return self._rows is None or step in self._evaluated

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes named numbers."""
        if self._rows is not None and self._board is not None:
            self._rows.add((json.dumps({"step": step, **values}) + "\n").encode())
            self._board.scalars(step, values)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Shows a PNG file."""
        if self._board is not None:
            import matplotlib.image

            self._board.picture(step, name, matplotlib.image.imread(path)[..., :3])

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Plays mono audio, float32 [samples]."""
        if self._board is not None:
            self._board.audio(step, name, audio)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for journal in (self._rows, self._board):
            if journal is not None:
                journal.close()


class Speedometer:
    """How fast a run is, how much it has heard, and how long it will take.

    Args:
        start: the step that the process began at.
        total: the last step.
        batch_size: examples per step.
        segment_seconds: sound per example.
        enabled: False for a process that says nothing.
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
        """Moves the bar, where there is one."""
        self._bar.advance()

    def report(self, step: int, values: dict[str, float]) -> dict[str, float]:
        """The values with speed and amount of training; says them in a line."""
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
        """Work that does not count as training time."""
        begun = time.monotonic()
        yield
        self._time += time.monotonic() - begun


def _forget_after(path: Path, step: int) -> list[dict[str, Any]]:
    """Takes the rows of later steps, and what a killed process left of one, out of a file.

    Returns:
        The rows that stay.
    """
    if not path.exists():
        return []
    lines = path.read_text("utf-8", errors="replace").splitlines()
    rows = [row for row in map(_read_row, lines) if row is not None and row["step"] <= step]
    kept = "".join(json.dumps(row) + "\n" for row in rows)
    if kept.encode() != path.read_bytes():
        with atomic_file(path) as temporary:
            temporary.write_text(kept)
    return rows


def _read_row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
