"""Distances between two signals that need no learned model."""

from collections.abc import Iterator

import numpy as np

from spectrodiff.audio.features import log_mel
from spectrodiff.audio.loudness import LOWEST_LUFS, integrated_loudness
from spectrodiff.core.constants import FRAMES_PER_SECOND, HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.evaluation.metrics.blocks import map_blocks
from spectrodiff.evaluation.metrics.minutes import (
    MINUTE_SAMPLES,
    Score,
    mean_of_frames,
    sum_scores,
)

FFT_SAMPLES = (2048, 1024, 512, 256, 128, 64)
MIN_MAGNITUDE = 1e-5

# Range of log-mel features below the maximum of the recording that is audible: 80 dB.
AUDIBLE_RANGE = 80 / 20 * np.log(10)

_FRAMES_PER_BLOCK = 15 * FRAMES_PER_SECOND


def blockwise_log_mel(audio: np.ndarray) -> np.ndarray:
    """Computes the features of a recording of any length, block by block.

    Same result as `spectrodiff.log_mel`, in bounded memory and with one program for all lengths.

    Args:
        audio: float [samples] at 16 kHz.

    Returns:
        Unscaled log-mel float32 [frames, 128].
    """
    return map_blocks(
        # The last frame belongs to the overhang.
        lambda samples: log_mel(samples)[:-1],
        audio,
        num_rows=-(-len(audio) // HOP_SAMPLES),
        block_rows=_FRAMES_PER_BLOCK,
        hop_samples=HOP_SAMPLES,
        overhang_samples=HOP_SAMPLES,
    )


def log_mel_l1(prediction: np.ndarray, target: np.ndarray) -> Score:
    """Computes the mean absolute difference of log-mel spectrograms.

    Args:
        prediction: unscaled log-mel [frames, M], natural logarithms.
        target: the same of the recording; the longer one is cut to the length of the other.
    """
    prediction, target = _same_length(prediction, target)
    return _mean_over_frames(np.abs(prediction - target))


def aligned_log_mel_l1(prediction: np.ndarray, target: np.ndarray) -> Score:
    """Computes the mean absolute difference of log-mel spectrograms of equal level.

    The prediction is shifted by the median difference (see `level_offset`). Both are clipped at
    80 dB below the maximum of the recording, since quieter bands are not audible.

    Args:
        prediction: unscaled log-mel [frames, M], natural logarithms.
        target: the same of the recording; the longer one is cut to the length of the other.
    """
    prediction, target = _same_length(prediction, target)
    prediction = prediction + level_offset(prediction, target)
    floor = target.max() - AUDIBLE_RANGE
    return _mean_over_frames(np.abs(np.maximum(prediction, floor) - np.maximum(target, floor)))


def level_offset(prediction: np.ndarray, target: np.ndarray) -> float:
    """Returns the offset that gives a log-mel spectrogram the level of the recording.

    It is the median difference where the recording is at most 80 dB below its maximum.

    Args:
        prediction: unscaled log-mel [frames, M].
        target: the same of the recording, of the same shape.
    """
    audible = target > target.max() - AUDIBLE_RANGE
    return float(np.median(target[audible] - prediction[audible])) if audible.any() else 0.0


def loudness_error_db(prediction: np.ndarray, target: np.ndarray) -> float | None:
    """Computes the absolute difference of integrated loudness (ITU-R BS.1770-4) in dB.

    Args:
        prediction: float [samples] at 16 kHz; silence counts as -70 LUFS.
        target: float [samples] at 16 kHz.

    Returns:
        The difference; None if the recording is silent or shorter than 0.4 s.
    """
    ours, theirs = (integrated_loudness(audio, SAMPLE_RATE) for audio in (prediction, target))
    if not np.isfinite(theirs):
        return None
    return abs(max(ours, LOWEST_LUFS) - theirs)


def spectral_distance(prediction: np.ndarray, target: np.ndarray) -> Score:
    """Computes the multi-scale spectral distance, the loss of DDSP (arXiv:2001.04643), alpha = 1.

    Sum over n in 2048, 1024, ..., 64 of mean |S_n - T_n| + mean |ln S_n - ln T_n|. S_n and T_n are
    magnitudes of Fourier transforms of n samples under a periodic Hann window with a hop of n / 4;
    means are over frames and bins, magnitudes are at least 1e-5 in logarithms. Frame i begins at
    sample i * n / 4, and the end is padded with zeros.

    Args:
        prediction: float [samples] at 16 kHz.
        target: float [samples] at 16 kHz; the longer signal is cut to the length of the other.
    """
    prediction, target = _same_length(prediction, target)
    scales = []
    for num_samples in FFT_SAMPLES:
        parts = [
            np.abs(ours - theirs).mean(axis=1) + np.abs(_log(ours) - _log(theirs)).mean(axis=1)
            for ours, theirs in zip(
                _magnitudes(prediction, num_samples), _magnitudes(target, num_samples), strict=True
            )
        ]
        frames_per_minute = MINUTE_SAMPLES / (num_samples // 4)
        scales.append(mean_of_frames(np.concatenate(parts), frames_per_minute))
    return sum_scores(scales)


def _magnitudes(audio: np.ndarray, num_samples: int) -> Iterator[np.ndarray]:
    """Yields the magnitudes [frames, n // 2 + 1] of one minute after another."""
    import scipy.fft

    hop = num_samples // 4
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(num_samples) / num_samples)
    for start in range(0, len(audio), MINUTE_SAMPLES):
        num_frames = -(-min(len(audio) - start, MINUTE_SAMPLES) // hop)
        length = (num_frames - 1) * hop + num_samples
        minute = audio[start : start + length]
        minute = np.pad(minute, (0, length - len(minute)))
        frames = np.lib.stride_tricks.sliding_window_view(minute, num_samples)[::hop]
        yield np.abs(scipy.fft.rfft(frames * window.astype(np.float32)))


def _mean_over_frames(differences: np.ndarray) -> Score:
    """Returns the mean of differences [frames, M] over the song and over each minute."""
    return mean_of_frames(differences.mean(axis=1), MINUTE_SAMPLES / HOP_SAMPLES)


def _log(magnitudes: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(magnitudes, MIN_MAGNITUDE))


def _same_length(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length = min(len(prediction), len(target))
    return prediction[:length].astype(np.float32), target[:length].astype(np.float32)
