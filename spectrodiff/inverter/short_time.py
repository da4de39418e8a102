"""Short-time Fourier transforms with the windows of the features, at twice their rate.

Frames that overlap by half leave the audio between their centers undetermined. Measured half a hop
off the grid, the mean absolute error of log-mel of music is 0.22 instead of 0.39 with half the hop.
"""

from typing import Any

import numpy as np
from jaxtyping import Complex64, Float, Float32

from spectrodiff.audio.features import SYNTHESIS
from spectrodiff.core.constants import HOP_SAMPLES

EDGE_FRAMES = 4
"""Frames of features repeated on both sides, so that several windows cover the ends."""

_TRANSFORM: dict[str, Any] = {
    "n_fft": SYNTHESIS.fft_samples,
    "hop_length": HOP_SAMPLES // 2,
    "win_length": SYNTHESIS.frame_samples,
    "center": False,
}
# librosa centers the window in the Fourier frame; in the features it is at the start.
_FIRST = (SYNTHESIS.fft_samples - SYNTHESIS.frame_samples) // 2 + EDGE_FRAMES * HOP_SAMPLES

Spectrum = Complex64[np.ndarray, "bins frames"]


def with_edges(log_mel: Float32[np.ndarray, "frames M"]) -> Float32[np.ndarray, "padded M"]:
    """Returns features with the first and last frame repeated `EDGE_FRAMES` times."""
    return np.pad(log_mel, ((EDGE_FRAMES, EDGE_FRAMES), (0, 0)), mode="edge")


def double_rate(values: Float[np.ndarray, "frames n"]) -> Float[np.ndarray, "2*frames-1 n"]:
    """Inserts the geometric mean between neighboring frames."""
    doubled = np.repeat(values, 2, axis=0)[:-1]
    doubled[1::2] = np.sqrt(values[:-1] * values[1:])
    return doubled


def analyze(audio: Float32[np.ndarray, " samples"], frames: int) -> Spectrum:
    """Returns the spectra of audio, as many as `double_rate(with_edges(features))` has frames.

    Args:
        audio: [frames * 320].
        frames: number of frames of its features.
    """
    # More than the edges need; what is too much is cut off.
    padded = np.pad(audio, (_FIRST, 4 * SYNTHESIS.fft_samples))
    return transform(padded)[:, : 2 * (frames + 2 * EDGE_FRAMES) - 1]


def transform(padded: Float32[np.ndarray, " padded"]) -> Spectrum:
    """Returns the spectra of audio that `inverse` returned."""
    import librosa

    return librosa.stft(padded, **_TRANSFORM)


def inverse(spectrum: Spectrum) -> Float32[np.ndarray, " padded"]:
    """Returns the audio whose spectra are closest, with what belongs to the edges."""
    import librosa

    return librosa.istft(spectrum, **_TRANSFORM)


def without_edges(
    padded: Float32[np.ndarray, " padded"], frames: int
) -> Float32[np.ndarray, " samples"]:
    """Returns the audio of all frames but the edges, [frames * 320]."""
    return padded[_FIRST : _FIRST + frames * HOP_SAMPLES]
