"""Saying how far rendering is and how fast it goes."""

import time
from types import TracebackType
from typing import Self

from spectrodiff.progress import Progress


class Meter:
    """A progress bar over segments that also shows seconds of audio made per second.

    Args:
        segments: how many there are to render.
        steps: sampling steps of a segment.
        segment_seconds: audio in a segment.
        enabled: False for silence.
    """

    def __init__(self, segments: int, steps: int, segment_seconds: float, *, enabled: bool) -> None:
        self._progress = Progress("rendering", segments, "segment", enabled)
        self._steps, self._segment_seconds = steps, segment_seconds
        self._segments_done, self._steps_done = 0, 0
        self._start_seconds = 0.0

    def steps_done(self, count: int) -> None:
        """Counts sampling steps of the segments being worked on."""
        self._steps_done = self._steps_done % self._steps + count
        self._progress.show(f"step {self._steps_done}/{self._steps}{self._speed()}")

    def segment_done(self) -> None:
        """Counts a segment."""
        self._segments_done += 1
        if self._segments_done == 1:
            # The first segment pays for the compilation, which would hide how fast the rest is.
            self._start_seconds = time.perf_counter()
        self._progress.advance(1, self._speed().removeprefix(", "))

    def _speed(self) -> str:
        if self._segments_done < 2:
            return ""
        elapsed_seconds = time.perf_counter() - self._start_seconds
        speed = (self._segments_done - 1) * self._segment_seconds / elapsed_seconds
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
