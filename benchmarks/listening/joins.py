"""Measures of how audible the joins of a model's segments are."""

from collections.abc import Sequence

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE

from .levels import level_db

WINDOW_SECONDS = 0.1


def join_ratio(log_mels: Sequence[np.ndarray], segment_frames: int) -> float:
    """Ratio of spectral change at joins to spectral change inside segments.

    Args:
        log_mels: [frames, M] of each song, which begins with a segment.
        segment_frames: frames of a segment.

    Returns:
        The mean absolute change from the last frame of a segment to the first of the next, divided
        by that between all other neighbouring frames; NaN where one of them is missing.
    """
    at_joins: list[np.ndarray] = []
    elsewhere: list[np.ndarray] = []
    for log_mel in log_mels:
        changes = np.abs(np.diff(log_mel.astype(np.float64), axis=0)).mean(axis=1)
        # Change number i leads to frame i + 1.
        joined = np.arange(1, len(log_mel)) % segment_frames == 0
        at_joins.append(changes[joined])
        elsewhere.append(changes[~joined])
    here, there = np.concatenate(at_joins), np.concatenate(elsewhere)
    if not len(here) or not there.any():
        return float("nan")
    return float(here.mean() / there.mean())


def level_jumps_db(
    audio: np.ndarray, segment_frames: int, begin_seconds: float, end_seconds: float
) -> np.ndarray:
    """Level jump at each join, in dB, [joins]: start of a segment against the end of the last.

    Levels are of a tenth of a second on either side of a join; only joins with both of these
    between `begin_seconds` and `end_seconds` count.
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
