"""Joins of segments: the jump that is left where no note begins or ends fades out.

Segments that share frames continue each other, but for a difference that is heard as a step in held
notes. It is largest in the first frame, and the rest of the segment need not follow it.
"""

import copy

import numpy as np

from spectrodiff.core.constants import FRAMES_PER_SECOND, MAX_LOG_MEL, MIN_LOG_MEL
from spectrodiff.music.notes import Notes

FADE_FRAMES = 8
"""Number of frames in which a jump fades out, 0.16 s."""

# A note that began or ended up to so many frames before is still getting louder or softer.
_CHANGE_FRAMES = 2


class Joins:
    """Takes the segments of a song one after another, and lets jumps between them fade out.

    Args:
        overlap: number of frames that segments share; if there are none, nothing is changed.
    """

    def __init__(self, overlap: int) -> None:
        self._fade, self._count = overlap > 0, 0
        self._last: np.ndarray | None = None

    def add(
        self, log_mel: np.ndarray, notes: Notes | None = None, *, origin_frame: int = 0
    ) -> np.ndarray:
        """Returns the frames of the next segment, which begin where the last ones ended.

        The difference of the two frames at the join is subtracted, less and less over 8 frames or
        until a note begins or ends.

        Args:
            log_mel: unscaled [frames, 128].
            notes: the notes that sound in these frames; there may be others. Without them nothing
                is changed.
            origin_frame: frame of the song that is the time 0 of the notes.
        """
        last, start = self._last, self._count - origin_frame
        if self._fade and last is not None and notes is not None and len(log_mel):
            count = min(_frames_until_change(notes, start), FADE_FRAMES, len(log_mel))
            weights = 1 - (np.arange(count, dtype=np.float32) + 0.5) / FADE_FRAMES
            faded = log_mel[:count] - weights[:, np.newaxis] * (log_mel[0] - last)
            faded = np.clip(faded, MIN_LOG_MEL, MAX_LOG_MEL)
            log_mel = np.concatenate([faded, log_mel[count:]])
        if len(log_mel):
            self._last = log_mel[-1]
        self._count += len(log_mel)
        return log_mel

    def copy(self) -> "Joins":
        """Returns the same state, which continues on its own."""
        return copy.copy(self)


def _frames_until_change(notes: Notes, frame: int) -> int:
    """Returns the number of frames from a frame on in which no note is heard to begin or end.

    The ends of drums do not count.
    """
    times = np.concatenate([notes.onset_seconds, notes.offset_seconds[~notes.is_drum]])
    # A little later, so that 0.58 s is frame 29: as a product it is a bit less.
    frames = np.floor(times * FRAMES_PER_SECOND + 1e-6).astype(int)
    coming = frames[frames >= frame - _CHANGE_FRAMES]
    # The window of the frame before a change reaches into it.
    return max(int(coming.min()) - 1 - frame, 0) if len(coming) else FADE_FRAMES
