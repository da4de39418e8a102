"""Loudness of sounds, and a limiter that keeps them within full scale."""

from collections.abc import Sequence

import numpy as np

from spectrodiff.core.errors import ConfigError

# How long before and after a peak the limiter turns the sound down: long enough not to be heard as
# distortion of low notes, short enough not to be heard as a swell.
REACH_SECONDS = 0.025
LOWEST_LUFS, HIGHEST_LUFS = -70.0, 0.0
_BLOCK_SECONDS = 0.4  # of the measurement; shorter sounds have no loudness


def integrated_loudness(audio: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness by ITU-R BS.1770-4, in LUFS.

    Args:
        audio: float [samples], mono.
        sample_rate: in Hz.

    Returns:
        Minus infinity for silence, and for sounds shorter than 0.4 s.
    """
    import pyloudnorm

    if len(audio) < _BLOCK_SECONDS * sample_rate:
        return -np.inf
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(np.asarray(audio, np.float64)))


def check_lufs(lufs: float) -> None:
    """Makes sure that a loudness is possible.

    Raises:
        ConfigError: if it is not in -70..0 LUFS.
    """
    if not LOWEST_LUFS <= lufs <= HIGHEST_LUFS:
        expected = f"LUFS in {LOWEST_LUFS:g}..{HIGHEST_LUFS:g}"
        raise ConfigError("loudness", expected, f"{lufs:g}")


def gain_to(songs: Sequence[np.ndarray], sample_rate: int, lufs: float) -> float:
    """The one factor that gives songs, one after another, a loudness.

    Args:
        songs: float [samples] each, mono.
        sample_rate: in Hz.
        lufs: the loudness wanted, in -70..0.

    Returns:
        1 if they are silent.

    Raises:
        ConfigError: if no sound has that loudness.
    """
    check_lufs(lufs)
    found = integrated_loudness(np.concatenate(songs), sample_rate)
    return 10 ** ((lufs - found) / 20) if np.isfinite(found) else 1.0


def limit(audio: np.ndarray, sample_rate: int, peak: float = 1.0) -> np.ndarray:
    """Turns a sound down for a moment wherever it would be louder than a peak.

    The gain is the smallest that any sample within 25 ms asks for, smoothed over as long, so that
    it never jumps and no sample is louder than allowed. Everything further from a peak stays as it
    is.

    Args:
        audio: float32 [samples].
        sample_rate: in Hz.
        peak: the largest absolute value allowed, above 0.

    Returns:
        float32 [samples].

    Raises:
        ConfigError: if `peak` is not above 0.
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    if not peak > 0:
        raise ConfigError("peak", "a number above 0", f"{peak:g}")
    size = np.abs(audio)
    if size.max(initial=0.0) <= peak:
        return audio
    wanted = np.minimum(1.0, peak / np.maximum(size, 1e-9))
    reach = max(int(REACH_SECONDS * sample_rate), 1)
    gain = minimum_filter1d(wanted, 2 * reach + 1, mode="nearest")
    # Two means reach as far as the minimum together.
    for _ in range(2):
        gain = uniform_filter1d(gain, reach // 2 * 2 + 1, mode="nearest")
    # What is left above the peak is rounding.
    return np.clip(audio * gain, -peak, peak).astype(np.float32)
