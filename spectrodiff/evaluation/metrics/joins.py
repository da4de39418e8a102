"""Audibility of joins between segments."""

import numpy as np

from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.evaluation.metrics.minutes import Score, split_minutes


def join_ratio(log_mel: np.ndarray, segment_frames: int) -> Score:
    """Computes the ratio of spectral change at joins to spectral change inside segments.

    The change is the mean absolute difference of adjacent frames. About 1 where joins cannot be
    told from other places; recordings have no joins, so they show how far it varies.

    Args:
        log_mel: unscaled log-mel [frames, M], which starts with a segment.
        segment_frames: number of frames that a segment adds.

    Returns:
        The ratio of means, of the song and of its minutes; None without a join or any change.
    """
    changes = np.abs(np.diff(log_mel, axis=0)).mean(axis=1)
    # Change number i leads to frame i + 1.
    joined = np.arange(1, len(log_mel)) % segment_frames == 0
    minutes = zip(
        *(split_minutes(values, 60 * FRAMES_PER_SECOND) for values in (changes, joined)),
        strict=True,
    )
    return Score(_ratio(changes, joined), [_ratio(*minute) for minute in minutes])


def _ratio(changes: np.ndarray, joined: np.ndarray) -> float | None:
    here, elsewhere = changes[joined], changes[~joined]
    if not len(here) or not elsewhere.any():
        return None
    return float(here.mean(dtype=np.float64) / elsewhere.mean(dtype=np.float64))
