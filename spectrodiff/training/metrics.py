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

from spectrodiff.errors import SpectrodiffError
from spectrodiff.features import SAMPLE_RATE
from spectrodiff.files import atomic_file
from spectrodiff.progress import Progress

logger = logging.getLogger(__name__)
METRICS_FILE, TENSORBOARD_FOLDER = "metrics.jsonl", "tensorboard"


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

    Args:
        folder: of the run.
        step: where the run goes on; a run killed between checkpoints repeats some steps.
        enabled: False for a writer that does nothing.
    """

    def __init__(self, folder: Path, step: int, *, enabled: bool = True) -> None:
        self._path = folder / METRICS_FILE
        self._board: Any = None
        if enabled:
            from tensorboardX import SummaryWriter

            _forget_after(self._path, step)
            self._board = SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes named numbers."""
        if self._board is None:
            return
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """Shows a PNG file."""
        if self._board is not None:
            import matplotlib.image

            pixels = matplotlib.image.imread(path)
            self._board.add_image(name, pixels[..., :3], step, dataformats="HWC")

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Plays mono audio, float32 [samples]."""
        if self._board is not None:
            self._board.add_audio(
                name, np.clip(audio, -1, 1)[:, None], step, sample_rate=SAMPLE_RATE
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._board is not None:
            self._board.close()


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


def _forget_after(path: Path, step: int) -> None:
    """Takes the lines of later steps, and what a killed process left of a line, out of a file."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            continue
    with atomic_file(path) as temporary:
        temporary.write_text("".join(kept))
