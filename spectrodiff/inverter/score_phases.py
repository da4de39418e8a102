"""Phases from the score: tones at the pitches and times of notes lend theirs to inverted audio.

Features hold no phases, and an inverter that predicts them wrongly puts tones out of tune. Whoever
renders a song knows its notes: at the partials of their tones, phases are those of the tones.
"""

import functools

import numpy as np
from jaxtyping import Float32, Float64

from spectrodiff.audio.features import check_log_mel, mel_weights
from spectrodiff.inverter.base import Audio, Inverter
from spectrodiff.inverter.short_time import (
    analyze,
    double_rate,
    inverse,
    transform,
    with_edges,
    without_edges,
)

PHASE_REACH_FRAMES = 6
"""Largest distance of frames that the audio of a frame depends on in `with_phases_of`.

Each of three transforms and their inverses reaches as far as a window, two frames.
"""

_ROUNDS = 2
# A tone is at a bin where it is louder than the mean of the bands around, and at most 30 dB softer
# than at its loudest bin. What is softer are side lobes of the window, between distant partials.
_LEAST_SHARE = 0.03
_LEAST_MAGNITUDE = 1e-5  # below that is silence
# A round changes a band by at most 12 dB.
_LOWEST_GAIN, _HIGHEST_GAIN = 0.25, 4.0
_TINY = 1e-7  # keeps silence from being divided by zero


class ScorePhases(Inverter):
    """An inverter whose audio gets the phases of tones that play the notes of a song.

    `invert` and `InversionStream` take the notes. A call has none: it only corrects levels.

    Args:
        inverter: turns features into audio.
    """

    def __init__(self, inverter: Inverter) -> None:
        self.inverter = inverter

    @property
    def name(self) -> str:
        """Name in reports."""
        return f"{self.inverter.name} with phases from the score"

    @property
    def reach_frames(self) -> int:
        """Largest distance of frames, on either side, that the audio of a frame depends on."""
        return self.inverter.reach_frames + PHASE_REACH_FRAMES

    @property
    def period_frames(self) -> int:
        """Parts that are inverted separately start at multiples of this number of frames."""
        return self.inverter.period_frames

    def __call__(self, log_mel: np.ndarray) -> Audio:
        """Inverts unscaled log-mel [frames, 128], without notes, to frames * 320 samples.

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """
        audio = self.inverter(log_mel)
        return with_phases_of(np.zeros_like(audio), audio, check_log_mel(log_mel))


def plain(inverter: Inverter) -> Inverter:
    """Returns an inverter without phases from the score."""
    return inverter.inverter if isinstance(inverter, ScorePhases) else inverter


def with_phases_of(
    tones: Float32[np.ndarray, " samples"],
    audio: Float32[np.ndarray, " samples"],
    log_mel: Float32[np.ndarray, "frames M"],
) -> Audio:
    """Returns audio with the phases of tones where these are, and with the bands of its features.

    Spectra keep their magnitudes. Twice, what overlapping windows disagree on is averaged away, and
    each mel band gets the gain that it then lacks.

    Args:
        tones: [frames * 320].
        audio: [frames * 320].
        log_mel: unscaled log-mel [frames, 128] that the audio was inverted from.

    Returns:
        float32 [frames * 320].
    """
    frames = len(log_mel)
    wanted = double_rate(np.exp(with_edges(log_mel)).astype(np.float64))
    spectrum, tone = analyze(audio, frames), analyze(tones, frames)
    loudness = np.abs(tone)
    around = (loudness.T @ _shares(0) @ _shares(1).T).T
    least = np.maximum(_LEAST_SHARE * loudness.max(axis=0), _LEAST_MAGNITUDE)
    is_tone = (loudness > around) & (loudness > least)
    turned = np.abs(spectrum) * (tone / np.where(is_tone, loudness, 1.0))
    spectrum = np.where(is_tone, turned, spectrum).astype(np.complex64)
    weights = mel_weights().astype(np.float64)
    for _ in range(_ROUNDS):
        spectrum = transform(inverse(spectrum))
        mel = np.abs(spectrum).T @ weights
        gain = (wanted / (mel + _TINY)) @ _shares(1).T
        spectrum *= np.clip(gain, _LOWEST_GAIN, _HIGHEST_GAIN).T.astype(np.float32)
    return without_edges(inverse(spectrum), frames)


@functools.cache
def _shares(axis: int) -> Float64[np.ndarray, "bins M"]:
    """Returns weights of mel bands that add up to 1: over the bins (0) or the bands (1)."""
    weights = mel_weights().astype(np.float64)
    total = weights.sum(axis=axis, keepdims=True)
    # The lowest bands are narrower than the distance of bins, and some have none; the bin at 0 Hz
    # is in no band.
    return weights / np.where(total > 0, total, 1.0)
