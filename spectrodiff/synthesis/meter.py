"""Progress and speed of rendering."""

import time
from types import TracebackType
from typing import Self

from spectrodiff.core.progress import Progress


class Meter:
    """Progress bar over segments that also shows seconds of audio rendered per second.

    Args:
        segments: number of segments to render.
        steps: sampling steps of a segment.
        segment_seconds: length of what a segment adds to a song.
        enabled: False to show nothing.
    """

    def __init__(self, segments: int, steps: int, segment_seconds: float, *, enabled: bool) -> None:
        self._progress = Progress("rendering", segments, "segment", enabled)
        self._steps, self._segment_seconds = steps, segment_seconds
        self._segments_done, self._steps_done, self._batches = 0, 0, 0
        # The first batch includes compilation; speed is measured from its end.
        self._counted_from, self._start_seconds = 0, 0.0

    def steps_done(self, count: int) -> None:
        """Counts sampling steps of the current batch."""
        if self._steps_done % self._steps == 0:
            self._steps_done, self._batches = 0, self._batches + 1
        self._steps_done += count
        self._progress.show(f"step {self._steps_done}/{self._steps}{self._speed()}")

    def segment_done(self) -> None:
        """Counts a segment."""
        self._segments_done += 1
        if self._batches == 1:
            self._counted_from, self._start_seconds = self._segments_done, time.perf_counter()
        self._progress.advance(1, self._speed().removeprefix(", "))

    def _speed(self) -> str:
        counted = self._segments_done - self._counted_from
        if not counted:
            return ""
        elapsed_seconds = time.perf_counter() - self._start_seconds
        speed = counted * self._segment_seconds / elapsed_seconds
        return f", {speed:.2f} s of audio per s"

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)
