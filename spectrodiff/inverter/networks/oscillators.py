"""Oscillators of the frame-rate generator: stationary tones of fixed frequencies.

A tone is in tune only if its phase advances from frame to frame according to its frequency. A
network that sees only magnitudes cannot accumulate phase; therefore each oscillator's phase
advances by itself, and the network predicts its amplitude and its phase offset. A tone between two
oscillators is reproduced at the frequency of one of them, so their spacing is small: 12 cents, or
50 / 64 Hz where that is more. Where 12 cents reach the distance of two Fourier bins, 12.5 Hz, the
oscillators are the bins.

All frequencies are multiples of 50 / 64 Hz, so phases repeat after 64 frames, and a long song can
be inverted in parts whose starts are multiples of 64 frames apart.
"""

import numpy as np
from jaxtyping import Float32, Float64

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE

PERIOD_FRAMES = 64
LOWEST_HZ = 25.0
SPACING = 2 ** (12 / 1200) - 1  # relative to the frequency

_UNIT_HZ = SAMPLE_RATE / HOP_SAMPLES / PERIOD_FRAMES


def frequencies_hz(
    window_samples: int,
) -> tuple[Float64[np.ndarray, " N"], Float64[np.ndarray, " high"]]:
    """Returns the frequencies of all oscillators, in ascending order.

    Args:
        window_samples: window length, which determines the Fourier bins.

    Returns:
        Frequencies between bins, and frequencies of bins, up to half the sample rate.
    """
    bin_hz = SAMPLE_RATE / window_samples
    low: list[float] = []
    hertz = np.ceil(LOWEST_HZ / _UNIT_HZ) * _UNIT_HZ
    while hertz * SPACING < bin_hz:
        low.append(hertz)
        hertz = max(hertz + _UNIT_HZ, np.round(hertz * (1 + SPACING) / _UNIT_HZ) * _UNIT_HZ)
    first_bin = int(np.ceil(hertz / bin_hz))
    return np.array(low), np.arange(first_bin, window_samples // 2 + 1) * bin_hz


def phases(hertz: Float64[np.ndarray, " N"], frames: int) -> Float32[np.ndarray, "{frames} N"]:
    """Returns the phase advance of oscillators from frame 0 to each frame, in radians."""
    units = np.round(hertz / _UNIT_HZ).astype(np.int64)
    advance = np.arange(frames)[:, np.newaxis] * units % PERIOD_FRAMES
    return (advance * (2 * np.pi / PERIOD_FRAMES)).astype(np.float32)


def waves(
    hertz: Float64[np.ndarray, " N"], window_samples: int
) -> Float32[np.ndarray, "2*N {window_samples}"]:
    """Returns the waveforms in a window for unit real and unit imaginary parts of oscillators.

    Amplitudes are those of a Fourier bin under the inverse transform; phases are relative to the
    center of the window.
    """
    seconds = (np.arange(window_samples) - window_samples // 2) / SAMPLE_RATE
    angles = 2 * np.pi * hertz[:, np.newaxis] * seconds
    parts = np.concatenate([np.cos(angles), -np.sin(angles)])
    return (2 / window_samples * parts).astype(np.float32)
