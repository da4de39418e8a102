"""Loudness measurement (ITU-R BS.1770-4) and a peak limiter."""

from collections.abc import Sequence

import numpy as np

from spectrodiff.core.errors import ConfigError

# Time before and after a peak in which the limiter reduces the gain: long enough not to distort low
# notes, short enough not to be audible as a change of level.
REACH_SECONDS = 0.025
LOWEST_LUFS, HIGHEST_LUFS = -70.0, 0.0
_BLOCK_SECONDS = 0.4  # measurement block; the loudness of shorter audio is undefined


def integrated_loudness(audio: np.ndarray, sample_rate: int) -> float:
    """Returns the integrated loudness by ITU-R BS.1770-4, in LUFS.

    Args:
        audio: float [samples], mono.
        sample_rate: in Hz.

    Returns:
        Loudness in LUFS; minus infinity for silence and for audio shorter than 0.4 s.
    """
    import pyloudnorm

    if len(audio) < _BLOCK_SECONDS * sample_rate:
        return -np.inf
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(np.asarray(audio, np.float64)))


def check_lufs(lufs: float) -> None:
    """Validates a target loudness.

    Raises:
        ConfigError: if it is outside -70..0 LUFS.
    """
    if not LOWEST_LUFS <= lufs <= HIGHEST_LUFS:
        expected = f"LUFS in {LOWEST_LUFS:g}..{HIGHEST_LUFS:g}"
        raise ConfigError("loudness", expected, f"{lufs:g}")


def gain_to(songs: Sequence[np.ndarray], sample_rate: int, lufs: float) -> float:
    """Returns the common gain that gives the concatenated songs a target loudness.

    Args:
        songs: float [samples] each, mono.
        sample_rate: in Hz.
        lufs: target loudness in -70..0.

    Returns:
        Linear gain; 1 if the songs are silent.

    Raises:
        ConfigError: if the target loudness is out of range.
    """
    check_lufs(lufs)
    measured = integrated_loudness(np.concatenate(songs), sample_rate)
    return 10 ** ((lufs - measured) / 20) if np.isfinite(measured) else 1.0


def limit(audio: np.ndarray, sample_rate: int, peak: float = 1.0) -> np.ndarray:
    """Limits audio to a peak by reducing the gain around louder samples.

    No sample exceeds the peak; those further than 50 ms from a louder one are unchanged. See
    `limiter_gain`.

    Args:
        audio: float32 [samples].
        sample_rate: in Hz.
        peak: largest absolute value allowed, above 0.

    Returns:
        float32 [samples].

    Raises:
        ConfigError: if `peak` is not above 0.
    """
    gain = limiter_gain(np.abs(audio), sample_rate, peak)
    if gain is None:
        return audio
    # Clips only rounding errors.
    return np.clip(audio * gain, -peak, peak).astype(np.float32)


def limiter_gain(magnitude: np.ndarray, sample_rate: int, peak: float = 1.0) -> np.ndarray | None:
    """Returns the gain of a limiter over time.

    It is the minimum over 25 ms before and after each sample, smoothed over the same distance, so
    that it changes gradually.

    Args:
        magnitude: absolute values of samples, float [samples]; of several signals that get the same
            gain, the largest.
        sample_rate: in Hz.
        peak: largest value allowed, above 0.

    Returns:
        Factors in (0, 1], float64 [samples]; None if nothing exceeds the peak.

    Raises:
        ConfigError: if `peak` is not above 0.
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    if not peak > 0:
        raise ConfigError("peak", "a number above 0", f"{peak:g}")
    if magnitude.max(initial=0.0) <= peak:
        return None
    required = np.minimum(1.0, peak / np.maximum(magnitude, 1e-9))
    reach = max(int(REACH_SECONDS * sample_rate), 1)
    gain = minimum_filter1d(required, 2 * reach + 1, mode="nearest")
    # Together, the two means reach as far as the minimum filter.
    for _ in range(2):
        gain = uniform_filter1d(gain, reach // 2 * 2 + 1, mode="nearest")
    return gain
