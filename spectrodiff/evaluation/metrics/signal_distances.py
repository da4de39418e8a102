"""Distances of two recordings that need no learned model."""

from collections.abc import Iterator

import numpy as np

from spectrodiff.audio.features import log_mel
from spectrodiff.core.constants import FRAMES_PER_SECOND, HOP_SAMPLES
from spectrodiff.evaluation.metrics.minutes import Score, mean_of_frames, sum_scores
from spectrodiff.evaluation.pieces import map_pieces
from spectrodiff.evaluation.scores import MINUTE_SAMPLES

FFT_SAMPLES = (2048, 1024, 512, 256, 128, 64)
MIN_MAGNITUDE = 1e-5

_FRAMES_AT_ONCE = 15 * FRAMES_PER_SECOND


def log_mel_of(audio: np.ndarray) -> np.ndarray:
    """The synthesiser's features of a recording of any length.

    Args:
        audio: float [samples] at 16 kHz.

    Returns:
        float32 [frames, 128], unscaled: what `spectrodiff.log_mel` returns, in bounded memory and
        with one program for all lengths.
    """
    return map_pieces(
        # The frame behind the last of a piece is of its padding.
        lambda samples: log_mel(samples)[:-1],
        audio,
        count=-(-len(audio) // HOP_SAMPLES),
        at_once=_FRAMES_AT_ONCE,
        hop_samples=HOP_SAMPLES,
        overhang_samples=HOP_SAMPLES,
    )


def log_mel_l1(prediction: np.ndarray, target: np.ndarray) -> Score:
    """Mean absolute difference of unscaled log-mel spectrograms: of natural logarithms.

    Args:
        prediction: float [samples] at 16 kHz.
        target: float [samples]; what one has more than the other is left out.
    """
    prediction, target = _same_length(prediction, target)
    differences = np.abs(log_mel_of(prediction) - log_mel_of(target))
    return mean_of_frames(differences.mean(axis=1), MINUTE_SAMPLES / HOP_SAMPLES)


def spectral_distance(prediction: np.ndarray, target: np.ndarray) -> Score:
    """Multi-scale spectral distance, the loss of DDSP (arXiv:2001.04643) with alpha 1.

    Sum over n in 2048, 1024, ..., 64 of mean |S_n - T_n| + mean |ln S_n - ln T_n|, where S_n and
    T_n are magnitudes of Fourier transforms of n samples under a periodic Hann window, every n / 4
    samples; means are over frames and bins, logarithms of at least 1e-5. Frame i begins at sample
    i * n / 4, and the end is padded with zeros.

    Args:
        prediction: float [samples] at 16 kHz.
        target: float [samples]; what one has more than the other is left out.
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
    """Yields magnitudes [frames, n // 2 + 1], a minute at a time."""
    import scipy.fft

    hop = num_samples // 4
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(num_samples) / num_samples)
    for start in range(0, len(audio), MINUTE_SAMPLES):
        num_frames = -(-min(len(audio) - start, MINUTE_SAMPLES) // hop)
        length = (num_frames - 1) * hop + num_samples
        piece = audio[start : start + length]
        piece = np.pad(piece, (0, length - len(piece)))
        frames = np.lib.stride_tricks.sliding_window_view(piece, num_samples)[::hop]
        yield np.abs(scipy.fft.rfft(frames * window.astype(np.float32)))


def _log(magnitudes: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(magnitudes, MIN_MAGNITUDE))


def _same_length(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length = min(len(prediction), len(target))
    return prediction[:length].astype(np.float32), target[:length].astype(np.float32)
