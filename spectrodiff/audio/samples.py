"""Arrays of samples: mixing, full scale, and conversion to 16 bits."""

import math
from collections.abc import Sequence

import numpy as np

SILENT_PEAK = 8 / 32768
"""Peak of 16-bit recordings that contain only dither."""

_BLOCK_SAMPLES = 1 << 22


def mix_audio(stems: Sequence[np.ndarray]) -> np.ndarray:
    """Sums audio of different lengths, float32 [samples of the longest]; a single one is kept."""
    if len(stems) == 1:
        return stems[0]
    mix = np.zeros(max(len(stem) for stem in stems), np.float32)
    for stem in stems:
        mix[: len(stem)] += stem
    return mix


def peak_of(audio: np.ndarray) -> float:
    """Returns the largest magnitude of samples, 0 if there are none."""
    return max(float(audio.max(initial=0)), -float(audio.min(initial=0)))


def full_scale_gain(peak: float) -> float:
    """Returns the factor that scales a peak above full scale down to it; 1 for others."""
    # A peak that is rounded to full scale is not above it.
    return 1.0 if round(peak * 32768) <= 32768 else 32767 / (32768 * peak)


def to_full_scale(audio: np.ndarray) -> tuple[np.ndarray, float]:
    """Converts audio to int16 and scales it down if it is louder than full scale.

    Returns:
        int16 [samples], and the decibels that it was too loud, 0 if it was not.
    """
    if audio.dtype == np.int16:
        return audio, 0.0
    peak = peak_of(audio)
    gain = full_scale_gain(peak)
    return to_int16(audio, gain), 20 * math.log10(peak) if gain < 1 else 0.0


def to_int16(audio: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """Converts samples in [-1, 1], after a gain, to 16-bit integers; clips samples outside."""
    pcm = np.empty(len(audio), np.int16)
    for first in range(0, len(audio), _BLOCK_SAMPLES):  # blocks save memory
        block = audio[first : first + _BLOCK_SAMPLES] * (gain * 32768.0)
        pcm[first : first + _BLOCK_SAMPLES] = np.clip(np.rint(block), -32768, 32767)
    return pcm
