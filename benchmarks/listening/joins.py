"""Measures of the audibility of joins between segments."""

from collections.abc import Sequence

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE

from .levels import level_db

WINDOW_SECONDS = 0.1


def join_changes(log_mels: Sequence[np.ndarray], segment_frames: int) -> np.ndarray:
    """Returns the spectral changes of each song at joins and elsewhere.

    Args:
        log_mels: features [frames, M] of each song, which start with a segment.
        segment_frames: length of a segment.

    Returns:
        For each song the sum of changes at joins, their number, the sum of all other changes and
        their number; float64 [songs, 4]. A change is the mean absolute difference of adjacent
        frames.
    """
    rows = []
    for log_mel in log_mels:
        changes = np.abs(np.diff(log_mel.astype(np.float64), axis=0)).mean(axis=1)
        # Change number i leads to frame i + 1.
        joined = np.arange(1, len(log_mel)) % segment_frames == 0
        here, there = changes[joined], changes[~joined]
        rows.append((here.sum(), len(here), there.sum(), len(there)))
    return np.array(rows)


def join_ratio(log_mels: Sequence[np.ndarray], segment_frames: int) -> float:
    """Returns the ratio of spectral change at joins to spectral change inside segments.

    Args:
        log_mels: features [frames, M] of each song, which start with a segment.
        segment_frames: length of a segment.

    Returns:
        The mean absolute change from the last frame of a segment to the first of the next, divided
        by that between all other adjacent frames; NaN if a song has no join, or nothing changes.
    """
    here, num_here, there, num_there = join_changes(log_mels, segment_frames).sum(axis=0)
    if not num_here or not there:
        return float("nan")
    return float(here / num_here / (there / num_there))


def level_jumps_db(
    audio: np.ndarray, segment_frames: int, begin_seconds: float, end_seconds: float
) -> np.ndarray:
    """Returns the level jumps at joins, in dB, [joins].

    A jump is the level of the 0.1 s after a join minus that of the 0.1 s before it. Joins are left
    out if these are not between `begin_seconds` and `end_seconds`.
    """
    window = round(WINDOW_SECONDS * SAMPLE_RATE)
    segment = segment_frames * HOP_SAMPLES
    joins = np.arange(segment, len(audio), segment)
    inside = (joins - window >= begin_seconds * SAMPLE_RATE) & (
        joins + window <= end_seconds * SAMPLE_RATE
    )
    return np.array(
        [
            level_db(audio[join : join + window]) - level_db(audio[join - window : join])
            for join in joins[inside]
        ]
    )
