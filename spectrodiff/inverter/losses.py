"""How far one sound is from another, in ways that do not depend on phases.

Axis letters: B batch, T frames, K Fourier bins.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import FrontEnd, mel_weights

# Windows of 8 to 128 ms, each moved by a quarter of its length, with as many mel bands as its
# frequency resolution can fill.
SCALES = {2048: 160, 1024: 128, 512: 64, 256: 32, 128: 16}
# Training also looks through longer windows, in which a tone slightly out of tune is another tone.
TRAINING_SCALES = {8192: 320, 4096: 240} | SCALES

# Below the noise of 16-bit rounding, differences are not heard.
FLOOR = 1e-4
_TINY = 1e-10


class Distance(NamedTuple):
    """Distances of each example, [B]."""

    spectral: jax.Array
    mel_l1: jax.Array


def multi_scale_distance(
    audio: jax.Array, target: jax.Array, mels_of_windows: Mapping[int, int] = SCALES
) -> Distance:
    """Means over windows of several lengths.

    Args:
        audio: float32 [B, samples].
        target: what it should be.
        mels_of_windows: lengths of windows, in samples, and how many mel bands each has.

    Returns:
        `spectral`: sum of |S - S'| over that of S, for magnitudes S, plus the mean of
        |ln S - ln S'|; `mel_l1`: the mean of the latter for magnitudes in mel bands.
    """
    scales = [_distance(audio, target, window, mels) for window, mels in mels_of_windows.items()]
    return Distance(*(sum(parts) / len(scales) for parts in zip(*scales, strict=True)))


def _distance(audio: jax.Array, target: jax.Array, window: int, mels: int) -> Distance:
    ours, theirs = magnitudes(audio, window), magnitudes(target, window)
    axes = (1, 2)
    convergence = jnp.abs(ours - theirs).sum(axes) / (theirs.sum(axes) + FLOOR * theirs[0].size)
    log_l1 = jnp.abs(_log(ours) - _log(theirs)).mean(axes)
    bands = mel_weights(FrontEnd(fft_samples=window, num_mels=mels))
    mel_l1 = jnp.abs(_log(jnp.matmul(ours, bands)) - _log(jnp.matmul(theirs, bands))).mean(axes)
    return Distance(convergence + log_l1, mel_l1)


# For the advance of phases: no shorter than the period of a low tone.
ADVANCE_WINDOWS = (4096, 2048, 1024, 512)


def advance_distance(
    audio: jax.Array, target: jax.Array, windows: Sequence[int] = ADVANCE_WINDOWS
) -> jax.Array:
    """Distance of the phase advances of two sounds, whatever the phases are.

    The product of each spectrum with the conjugate of the one before turns by what the tones in it
    advance in a quarter of a window: a tone out of tune turns by another angle, and the more so the
    longer the window is.

    Args:
        audio: float32 [B, samples].
        target: what it should be.
        windows: lengths of windows, in samples; means are taken over them.

    Returns:
        float32 [B]: sum of |D - D'| over that of |D'|, for such products D of spectra whose
        magnitudes are replaced by their roots, D' those of the target.
    """
    distances = []
    for window in windows:
        ours, theirs = _advances(audio, window), _advances(target, window)
        difference = _size(ours - theirs).sum(axis=(1, 2))
        distances.append(difference / (_size(theirs).sum(axis=(1, 2)) + FLOOR * theirs[0].size))
    return sum(distances[1:], distances[0]) / len(distances)


def _advances(audio: jax.Array, window: int) -> jax.Array:
    """Complex [B, T - 1, K], about as large as the spectra."""
    spectrum = spectra(audio, window)
    halved = spectrum * jax.lax.rsqrt(_size(spectrum))
    return halved[:, 1:] * halved[:, :-1].conj()


def magnitudes(audio: jax.Array, window_samples: int) -> jax.Array:
    """Sizes of `spectra`, float32 [B, T, K]."""
    return _size(spectra(audio, window_samples))


def spectra(audio: jax.Array, window_samples: int) -> jax.Array:
    """Short-time Fourier spectra, those of white noise about as large as its standard deviation.

    Args:
        audio: float32 [B, samples].
        window_samples: length of the Hann window, moved by a quarter of it.

    Returns:
        complex [B, T, K], of all windows that lie inside the audio.
    """
    hop = window_samples // 4
    blocks = audio[:, : audio.shape[1] // hop * hop].reshape(len(audio), -1, hop)
    count = blocks.shape[1] - 3
    frames = jnp.concatenate([blocks[:, place : place + count] for place in range(4)], axis=-1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_samples) / window_samples)
    window /= np.sqrt(np.square(window).sum())
    return jnp.fft.rfft(frames * jnp.asarray(window, jnp.float32)[None, None])


def _size(spectrum: jax.Array) -> jax.Array:
    # The root of zero has no gradient.
    return jnp.sqrt(jnp.square(spectrum.real) + jnp.square(spectrum.imag) + _TINY)


def _log(magnitude: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(magnitude, FLOOR))
