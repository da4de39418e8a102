"""Inversion without learned weights: magnitudes from mel bands, phases by fast Griffin-Lim."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spectrodiff.audio.features import SYNTHESIS, check_log_mel, mel_weights
from spectrodiff.core.constants import HOP_SAMPLES

# Frames that overlap by half leave the sound between their centres undetermined. Magnitudes
# interpolated to half the hop fix it: measured half a hop off the grid, log-mel of music comes back
# to 0.22 instead of 0.39 mean absolute error.
_HOP_SAMPLES = HOP_SAMPLES // 2

# Repeated on either side, so that the first and last real samples lie under several windows.
_EDGE_FRAMES = 4

_MEL_ITERATIONS = 50
_TINY = 1e-12


@dataclass(frozen=True)
class GriffinLim:
    """Phase reconstruction after Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm".

    Every frame starts as a pulse in the middle of its window, wherever in the song it stands.
    Together with the short reach of an iteration this makes the audio of a frame depend on nearby
    frames only, and the same features always give the same audio.

    Attributes:
        iterations: how often the phases are refined.
        momentum: how much of the last refinement is added to each.
    """

    iterations: int = 32
    momentum: float = 0.99

    @property
    def name(self) -> str:
        """How reports call it."""
        return "griffin-lim"

    @property
    def context_frames(self) -> int:
        """Frames on each side after which the audio of a frame no longer changes.

        An iteration reaches 1.5 frames further, but nearly all of its effect stays within half a
        frame: beyond this bound it was below 1e-4 of full scale on music, tones and noise.
        """
        return self.iterations // 2 + 8

    def __call__(self, log_mel: np.ndarray) -> np.ndarray:
        """Inverts unscaled log-mel [frames, 128] to float32 [frames * 320].

        Raises:
            AudioError: if there are no frames, another number of bins, or NaN.
        """
        log_mel = check_log_mel(log_mel)
        padded = np.pad(log_mel, ((_EDGE_FRAMES, _EDGE_FRAMES), (0, 0)), mode="edge")
        magnitudes = _double_rate(_linear_magnitudes(np.exp(padded)))
        audio = self._reconstruct(magnitudes.T)
        # librosa centres the window in the Fourier frame, where ours stands at its beginning.
        first = (SYNTHESIS.fft_samples - SYNTHESIS.frame_samples) // 2 + _EDGE_FRAMES * HOP_SAMPLES
        return audio[first : first + len(log_mel) * HOP_SAMPLES]

    def _reconstruct(self, magnitudes: np.ndarray) -> np.ndarray:
        """Returns audio whose short-time spectra come close to `magnitudes` [bins, frames]."""
        import librosa

        transform: dict[str, Any] = {
            "n_fft": SYNTHESIS.fft_samples,
            "hop_length": _HOP_SAMPLES,
            "win_length": SYNTHESIS.frame_samples,
            "center": False,
        }
        # A delay by half the Fourier frame is a change of sign from bin to bin.
        pulse = (-1.0) ** np.arange(len(magnitudes), dtype=np.float32)
        spectrum = (magnitudes * pulse[:, np.newaxis]).astype(np.complex64)
        consistent = np.zeros_like(spectrum)
        inertia = self.momentum / (1 + self.momentum)
        for _ in range(self.iterations):
            previous = consistent
            consistent = librosa.stft(librosa.istft(spectrum, **transform), **transform)
            phases = consistent - inertia * previous
            spectrum = magnitudes * phases / (np.abs(phases) + _TINY)
        return librosa.istft(spectrum, **transform)


def _linear_magnitudes(mel: np.ndarray) -> np.ndarray:
    """Returns non-negative magnitudes [frames, bins] whose mel bands come close to `mel`.

    Multiplicative updates of the least-squares problem keep the solution positive and, starting
    from the smooth spectrum that spreads every band over its bins, free of holes.
    """
    # Rounding of matrix products depends on how many frames there are, and refining phases makes
    # much of little: in float64, rounded at the end, a frame is the same in any company.
    mel, weights = mel.astype(np.float64), mel_weights().astype(np.float64)
    spread = mel @ weights.T
    magnitudes = spread / (weights.sum(axis=1) + _TINY)
    for _ in range(_MEL_ITERATIONS):
        magnitudes *= spread / ((magnitudes @ weights) @ weights.T + _TINY)
    return magnitudes.astype(np.float32)


def _double_rate(magnitudes: np.ndarray) -> np.ndarray:
    """Returns [2 * frames - 1, bins]: geometric means put between neighbouring frames."""
    doubled = np.repeat(magnitudes, 2, axis=0)[:-1]
    doubled[1::2] = np.sqrt(magnitudes[:-1] * magnitudes[1:])
    return doubled
