"""Metric without weights: distances of the signals, loudness, and joins between segments."""

from collections.abc import Mapping

import numpy as np

from spectrodiff.evaluation.columns import (
    ALIGNED_LOG_MEL_L1,
    JOINS,
    LOG_MEL_L1,
    LOUDNESS_ERROR,
    SPECTRAL_DISTANCE,
)
from spectrodiff.evaluation.metrics.joins import join_ratio
from spectrodiff.evaluation.metrics.minutes import MINUTE_SAMPLES, Score, split_minutes
from spectrodiff.evaluation.metrics.signal_distances import (
    aligned_log_mel_l1,
    blockwise_log_mel,
    log_mel_l1,
    loudness_error_db,
    spectral_distance,
)
from spectrodiff.evaluation.scoring.metric import Comparison, MeanOverSongs


class SignalMetric(MeanOverSongs):
    """Differences between audio and recording that need no weights."""

    id = "signal"
    columns = (ALIGNED_LOG_MEL_L1, LOG_MEL_L1, SPECTRAL_DISTANCE, LOUDNESS_ERROR, JOINS)

    def __call__(self, comparison: Comparison) -> dict[str, Score]:
        """Computes all differences, of the song and of its minutes."""
        frames = comparison.protocol.segment_frames
        audio, target = comparison.audio, comparison.song.audio
        scores = _score(audio, target, frames)
        if not comparison.protocol.is_released:
            return scores
        return comparison.with_excerpts(
            _whole(scores),
            lambda excerpt: _whole(_score(excerpt.audio, excerpt.target, frames)),
        )


def _whole(scores: Mapping[str, Score]) -> dict[str, float | None]:
    return {name: score.whole for name, score in scores.items()}


def _score(audio: np.ndarray, target: np.ndarray, segment_frames: int) -> dict[str, Score]:
    ours, theirs = blockwise_log_mel(audio), blockwise_log_mel(target)
    minutes = zip(
        split_minutes(audio, MINUTE_SAMPLES), split_minutes(target, MINUTE_SAMPLES), strict=False
    )
    loudness = [loudness_error_db(*minute) for minute in minutes]
    return {
        ALIGNED_LOG_MEL_L1.name: aligned_log_mel_l1(ours, theirs),
        LOG_MEL_L1.name: log_mel_l1(ours, theirs),
        SPECTRAL_DISTANCE.name: spectral_distance(audio, target),
        LOUDNESS_ERROR.name: Score(loudness_error_db(audio, target), loudness),
        JOINS.name: join_ratio(ours, segment_frames),
    }
