"""The steady tones that the frame-rate generator draws from, and how they turn from frame to frame.

A tone sounds in tune only if its phase goes on from frame to frame by just what its frequency says.
A network that sees nothing but magnitudes cannot count, so the counting is done for it: each
oscillator's phase runs along by itself, and the network says how loud it is and where it begins.
What is to be heard at a frequency between two oscillators comes out at one of them, so they lie
close: 12 cents apart, or 50 / 64 Hz where that is more. Once 12 cents are as much as the distance
of two Fourier bins, 12.5 Hz, the oscillators are these bins.

All frequencies are multiples of 50 / 64 Hz, so that everything repeats after 64 frames, and a long
song can be inverted in pieces that begin a multiple of that apart.
"""

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE

PERIOD_FRAMES = 64
LOWEST_HZ = 25.0
SPACING = 2 ** (12 / 1200) - 1  # relative to the frequency

_UNIT_HZ = SAMPLE_RATE / HOP_SAMPLES / PERIOD_FRAMES


def frequencies_hz(window_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of all oscillators, from low to high.

    Args:
        window_samples: length of the windows whose Fourier bins the high oscillators are.

    Returns:
        Those between bins [N], and those that are bins, up to half the sample rate.
    """
    bin_hz = SAMPLE_RATE / window_samples
    low: list[float] = []
    hertz = np.ceil(LOWEST_HZ / _UNIT_HZ) * _UNIT_HZ
    while hertz * SPACING < bin_hz:
        low.append(hertz)
        hertz = max(hertz + _UNIT_HZ, np.round(hertz * (1 + SPACING) / _UNIT_HZ) * _UNIT_HZ)
    first_bin = int(np.ceil(hertz / bin_hz))
    return np.array(low), np.arange(first_bin, window_samples // 2 + 1) * bin_hz


def turns(hertz: np.ndarray, frames: int) -> np.ndarray:
    """Float32 radians [F, N] that oscillators have turned by, from frame 0 to each frame."""
    units = np.round(hertz / _UNIT_HZ).astype(np.int64)
    turned = np.arange(frames)[:, np.newaxis] * units % PERIOD_FRAMES
    return (turned * (2 * np.pi / PERIOD_FRAMES)).astype(np.float32)


def waves(hertz: np.ndarray, window_samples: int) -> np.ndarray:
    """What unit real and imaginary parts of oscillators are in a window, float32 [2 N, W].

    As large as the inverse Fourier transform makes a bin, with phases that count from its middle.
    """
    seconds = (np.arange(window_samples) - window_samples // 2) / SAMPLE_RATE
    angles = 2 * np.pi * hertz[:, np.newaxis] * seconds
    parts = np.concatenate([np.cos(angles), -np.sin(angles)])
    return (2 / window_samples * parts).astype(np.float32)
