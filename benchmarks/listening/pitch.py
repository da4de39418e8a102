"""Pitch error of a note, from half a second of its audio."""

import numpy as np
import scipy.optimize

SAMPLE_RATE = 16_000
RANGE_CENTS = 60.0
PARTIALS = 8
HIGHEST_HZ = 7_500.0

# Half the width of the main lobe of a Hann window, in bins of an unpadded transform.
_LOBE_BINS = 2
_PADDED_SAMPLES = 1 << 17
_REFINE_CENTS = 3.0
# A maximum this close to the end of the range is the flank of a maximum outside.
_EDGE_CENTS = 2.0
# Relative deviation of a partial by vibrato, 25 cents.
_VIBRATO = 2 ** (25 / 1200) - 1
# Minimum harmonicity of a measurable tone.
_LEAST_HARMONICITY = 0.3


def frequency_hz(pitch: np.ndarray | float) -> np.ndarray:
    """Returns the fundamentals of MIDI pitches in equal temperament with A4 at 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(pitch, np.float64) - 69) / 12)


def cents_off(audio: np.ndarray, expected_hz: float) -> float | None:
    """Returns the deviation of a steady tone from the expected pitch, in cents.

    The fundamental is the one whose first eight partials have the most power in the spectrum under
    a Hann window, which is the least-squares estimate if partials do not overlap. The search range
    is 60 cents on either side. The pitch of a vibrato is where it stays longest.

    Args:
        audio: float [samples] at 16 kHz, inside the note; half a second suffices for a resolution
            of 2 cents even of the lowest piano notes.
        expected_hz: the written fundamental.

    Returns:
        None if the pitch is not measurable: the audio is silent, the most power is at the end of
        the range, or no more power is on the partials than in noise.
    """
    samples = audio.astype(np.float64) * np.hanning(len(audio) + 1)[:-1]
    if not np.any(samples):
        return None
    spectrum = np.abs(np.fft.rfft(samples, _PADDED_SAMPLES)) ** 2
    partials = _partials(expected_hz)
    grid = np.arange(-RANGE_CENTS, RANGE_CENTS + 0.5)
    wanted_hz = expected_hz * 2.0 ** (grid[:, np.newaxis] / 1200) * partials
    bins = wanted_hz * _PADDED_SAMPLES / SAMPLE_RATE
    power = np.interp(bins, np.arange(len(spectrum)), spectrum).sum(axis=1)
    coarse = float(grid[power.argmax()])
    if abs(coarse) > RANGE_CENTS - _EDGE_CENTS:
        return None
    seconds = np.arange(len(samples)) / SAMPLE_RATE

    def negative_power(cents: float) -> float:
        hertz = expected_hz * 2.0 ** (cents / 1200) * partials
        turns = np.exp(-2j * np.pi * hertz[:, np.newaxis] * seconds)
        return -float((np.abs(turns @ samples) ** 2).sum())

    bounds = (coarse - _REFINE_CENTS, coarse + _REFINE_CENTS)
    found = scipy.optimize.minimize_scalar(
        negative_power, bounds=bounds, method="bounded", options={"xatol": 1e-3}
    )
    cents = float(found.x)
    fundamental_hz = expected_hz * 2.0 ** (cents / 1200)
    if harmonicity(spectrum, fundamental_hz, len(samples)) < _LEAST_HARMONICITY:
        return None
    return cents


def harmonicity(spectrum: np.ndarray, fundamental_hz: float, num_samples: int) -> float:
    """Returns the fraction of power on the first partials: 1 for all, 0 for as much as in noise.

    Frequencies are from half the fundamental to half a fundamental above the last partial.

    Args:
        spectrum: powers [bins] of a zero-padded transform under a Hann window.
        fundamental_hz: of the partials.
        num_samples: length of the window.
    """
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    last = _partials(fundamental_hz)[-1]
    number = hertz / fundamental_hz
    near = (number >= 0.5) & (number <= last + 0.5)
    away_hz = np.abs(number - np.round(number)) * fundamental_hz
    wide_hz = np.maximum(_LOBE_BINS * SAMPLE_RATE / num_samples, _VIBRATO * hertz)
    on = near & (away_hz <= wide_hz)
    total = spectrum[near].sum()
    if not total:
        return 0.0
    share, chance = spectrum[on].sum() / total, on.sum() / near.sum()
    return float((share - chance) / (1 - chance))


def harmonic_tone(fundamental_hz: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Returns a steady tone with partials up to 7.5 kHz, amplitudes 1 / number, random phases.

    Returns:
        Float32 [samples] at 16 kHz with an RMS of 0.1.
    """
    numbers = np.arange(1, int(HIGHEST_HZ / fundamental_hz) + 1)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(numbers))
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    audio = np.zeros(len(times))
    for number, phase in zip(numbers, phases, strict=True):
        audio += np.sin(2 * np.pi * number * fundamental_hz * times + phase) / number
    return (0.1 * audio / np.sqrt(np.mean(audio**2))).astype(np.float32)


def _partials(fundamental_hz: float) -> np.ndarray:
    """Returns the numbers of the measured partials, [1 to 8]."""
    return np.arange(1, min(PARTIALS, max(1, int(HIGHEST_HZ / fundamental_hz))) + 1)
