"""Arrays of samples: mixing, full scale, resampling, and conversion to integers."""

import math
from collections.abc import Sequence

import numpy as np

SILENT_PEAK = 8 / 32768
"""Peak of 16-bit recordings that contain only dither."""

SAMPLE_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
"""Sample rates in Hz that rendered audio can be converted to."""

_BLOCK_SAMPLES = 1 << 22
# Silence after audio that is resampled, so that its last samples are computed as well.
_TAIL_SAMPLES = 16


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


def to_codes(audio: np.ndarray, bits: int) -> np.ndarray:
    """Converts samples in [-1, 1] to integers of some bits, in int32; clips samples outside."""
    scale = 2.0 ** (bits - 1)
    return np.clip(np.rint(audio * scale), -scale, scale - 1).astype(np.int32)


def quantization_step(bits: int) -> float:
    """Returns the distance between the values that samples of an audio file can have.

    Args:
        bits: 16 or 24 for integers. For 32, floating point, it is the step that all values in
            [-1, 1] are multiples of: 2**-24.
    """
    return 2.0**-24 if bits == 32 else 2.0 ** (1 - bits)


def resample(audio: np.ndarray, sample_rate: int, new_rate: int) -> np.ndarray:
    """Resamples audio with soxr at its highest quality; peaks may become higher.

    Args:
        audio: float32 [samples].
        sample_rate: in Hz.
        new_rate: in Hz.

    Returns:
        float32 [samples * new_rate / sample_rate, rounded up].
    """
    import soxr

    if new_rate == sample_rate:
        return audio
    padded = np.concatenate([audio, np.zeros(_TAIL_SAMPLES, np.float32)])
    num_samples = -(-len(audio) * new_rate // sample_rate)
    return soxr.resample(padded, sample_rate, new_rate, quality="VHQ")[:num_samples]
