"""Fit of the onsets of notes to those that are heard in a recording."""

from typing import NamedTuple

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.notes import Notes

# This module must not import audio.features, which would load JAX in every worker process.

MAX_LAG_SECONDS = 1.0
MIN_ONSETS = 32

_HOP_SAMPLES = 160  # 10 ms
_WINDOW_SAMPLES = 512
# A recorder's latency is the same everywhere, so that the first minutes tell it.
_MAX_FRAMES = 600 * SAMPLE_RATE // _HOP_SAMPLES
_BLOCK_FRAMES = 6000
_COMPRESSION = 1000.0  # of magnitudes relative to the largest: quiet onsets count, too
# Measured with solos of FluidR3: the correlation of notes with another recording of 150 onsets is
# at most 0.1, and falls with the square root of their number; that with their own is 0.1 (choir)
# to 0.9 (plucked strings). A lag is certain at twice of what chance gives. Slow attacks have a
# small lag, too.
_OTHER_CORRELATION, _CERTAIN_CORRELATION, _CERTAIN_ROOT = 0.1, 0.2, 2.4
_NOTED_LAG_SECONDS = 0.06


class OnsetFit(NamedTuple):
    """Lag of a recording behind its notes, and how well their onsets fit at that lag.

    Attributes:
        lag_seconds: time by which the audio is later than the notes, within a second.
        correlation: of the notes' onsets and the changes in the audio at that lag, at most 1.
        onsets: number of different onsets.
    """

    lag_seconds: float
    correlation: float
    onsets: int

    @property
    def is_certain(self) -> bool:
        """True if the lag is hardly one of chance."""
        return self.correlation >= max(_CERTAIN_CORRELATION, _CERTAIN_ROOT / self.onsets**0.5)


class Misfit(NamedTuple):
    """Remark on notes and audio that do not fit.

    Attributes:
        text: what is wrong, without details.
        detail: details of this recording.
    """

    text: str
    detail: str


def describe_misfit(audio: np.ndarray, notes: Notes) -> Misfit | None:
    """Describes how the onsets of a recording and of its notes differ; None if they fit.

    Arguments are those of `fit_onsets`.
    """
    fit = fit_onsets(audio, notes)
    if fit is None:
        return None
    if fit.correlation < _OTHER_CORRELATION:
        return Misfit("with audio that does not fit the notes", "of another recording, or tempo?")
    if not fit.is_certain or abs(fit.lag_seconds) < _NOTED_LAG_SECONDS:
        return None
    when = "later" if fit.lag_seconds > 0 else "earlier"
    lag = f"about {1000 * abs(fit.lag_seconds):.0f} ms"
    return Misfit(f"with audio {when} than the notes", f"{lag}; shift the MIDI file")


def fit_onsets(audio: np.ndarray, notes: Notes) -> OnsetFit | None:
    """Finds the lag at which the onsets of notes fit the audio best.

    Onsets in the audio are increases of the magnitudes of its short-time spectrum (spectral flux).

    Args:
        audio: int16 or float [samples], mono, 16 kHz.
        notes: what is played.

    Returns:
        None if the recording has fewer than `MIN_ONSETS` different onsets, or is silent.
    """
    flux = _spectral_flux(audio)
    frames_per_second = SAMPLE_RATE / _HOP_SAMPLES
    onsets = np.unique(np.round(notes.onset_seconds * frames_per_second).astype(int))
    onsets = onsets[onsets < len(flux)]
    if len(onsets) < MIN_ONSETS or not flux.any():
        return None
    expected = np.zeros(len(flux))
    expected[onsets] = 1.0
    # Players and attacks differ by some hundredths of a second.
    smooth = np.hanning(7)[1:-1]
    found, expected = (np.convolve(row, smooth, mode="same") for row in (flux, expected))
    found, expected = (row - row.mean() for row in (found, expected))
    norm = float(np.linalg.norm(found) * np.linalg.norm(expected))
    most = min(round(MAX_LAG_SECONDS * frames_per_second), len(flux) - 1)
    lags = np.arange(-most, most + 1)
    products = [
        float(found[max(lag, 0) :][:overlap] @ expected[max(-lag, 0) :][:overlap])
        for lag, overlap in zip(lags, len(found) - abs(lags), strict=True)
    ]
    best = int(np.argmax(products))
    lag_seconds = float(lags[best] / frames_per_second)
    return OnsetFit(lag_seconds, products[best] / norm if norm else 0.0, len(onsets))


def _spectral_flux(audio: np.ndarray) -> np.ndarray:
    """Returns the increase of magnitudes at each multiple of 10 ms, float64 [frames]."""
    count = min(-(-len(audio) // _HOP_SAMPLES), _MAX_FRAMES)
    before = after = _WINDOW_SAMPLES // 2
    padded = np.pad(audio[: count * _HOP_SAMPLES + after].astype(np.float32), (before, after))
    padded = np.pad(padded, (0, max(0, count * _HOP_SAMPLES + _WINDOW_SAMPLES - len(padded))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW_SAMPLES)[::_HOP_SAMPLES]
    taper = np.hanning(_WINDOW_SAMPLES).astype(np.float32)
    largest = float(np.abs(padded).max()) * taper.sum() / 2
    flux = np.zeros(count)
    if not largest:
        return flux
    last = np.zeros(_WINDOW_SAMPLES // 2 + 1)
    for first in range(0, count, _BLOCK_FRAMES):
        block = windows[first : min(first + _BLOCK_FRAMES, count)] * taper
        magnitudes = np.log1p(_COMPRESSION / largest * np.abs(np.fft.rfft(block, axis=1)))
        changes = np.diff(magnitudes, axis=0, prepend=last[None])
        flux[first : first + len(block)] = np.maximum(changes, 0).sum(axis=1)
        last = magnitudes[-1]
    return flux
