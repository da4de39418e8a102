"""Distances between audio signals that do not depend on absolute phases.

Axis letters: B batch, T frames, K Fourier bins.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex64, Float32

from spectrodiff.audio.features import FrontEnd, mel_weights
from spectrodiff.core.parallel import per_device

# Number of mel bands by window length in samples (8 to 128 ms), as many as the frequency resolution
# allows; the hop is a quarter of the window.
SCALES = {2048: 160, 1024: 128, 512: 64, 256: 32, 128: 16}
# Training adds longer windows, which resolve small frequency errors.
TRAINING_SCALES = {8192: 320, 4096: 240} | SCALES

# Magnitude of 16-bit rounding noise, below which differences are inaudible.
FLOOR = 1e-4
_TINY = 1e-10


class Distance(NamedTuple):
    """Distances of each example."""

    spectral: Float32[Array, " B"]
    mel_l1: Float32[Array, " B"]


def multi_scale_distance(
    audio: Float32[Array, "B samples"],
    target: Float32[Array, "B samples"],
    mels_of_windows: Mapping[int, int] = SCALES,
) -> Distance:
    """Computes the mean distance over several window lengths.

    Args:
        audio: audio to compare.
        target: audio it should equal.
        mels_of_windows: number of mel bands by window length in samples.

    Returns:
        `spectral`: sum of |S - S'| divided by that of S', for magnitudes S and target S', plus the
        mean of |ln S - ln S'|; `mel_l1`: mean of |ln S - ln S'| for magnitudes in mel bands.
    """
    scales = [_distance(audio, target, window, mels) for window, mels in mels_of_windows.items()]
    return Distance(*(sum(parts) / len(scales) for parts in zip(*scales, strict=True)))


def _distance(
    audio: Float32[Array, "B samples"], target: Float32[Array, "B samples"], window: int, mels: int
) -> Distance:
    ours, theirs = magnitudes(audio, window), magnitudes(target, window)
    axes = (1, 2)
    convergence = jnp.abs(ours - theirs).sum(axes) / (theirs.sum(axes) + FLOOR * theirs[0].size)
    log_l1 = jnp.abs(_log(ours) - _log(theirs)).mean(axes)
    bands = mel_weights(FrontEnd(fft_samples=window, num_mels=mels))
    mel_l1 = jnp.abs(_log(jnp.matmul(ours, bands)) - _log(jnp.matmul(theirs, bands))).mean(axes)
    return Distance(convergence + log_l1, mel_l1)


# Windows for phase advances, not shorter than the period of a low tone.
ADVANCE_WINDOWS = (4096, 2048, 1024, 512)


def advance_distance(
    audio: Float32[Array, "B samples"],
    target: Float32[Array, "B samples"],
    windows: Sequence[int] = ADVANCE_WINDOWS,
) -> Float32[Array, " B"]:
    """Computes the distance between the phase advances of two signals.

    The phase of the product of each spectrum with the conjugate of the one before is the advance of
    its tones in a quarter of a window. A frequency error changes it in proportion to the length of
    the window.

    Args:
        audio: audio to compare.
        target: audio it should equal.
        windows: window lengths in samples, over which the mean is taken.

    Returns:
        Sum of |D - D'| divided by that of |D'|, for products D of spectra whose magnitudes are
        replaced by their square roots, and D' of the target.
    """
    distances = []
    for window in windows:
        ours, theirs = _advances(audio, window), _advances(target, window)
        difference = _size(ours - theirs).sum(axis=(1, 2))
        distances.append(difference / (_size(theirs).sum(axis=(1, 2)) + FLOOR * theirs[0].size))
    return sum(distances[1:], distances[0]) / len(distances)


def _advances(
    audio: Float32[Array, "B samples"], window: int
) -> Complex64[Array, "B frames_but_one K"]:
    """Returns products of neighboring spectra, of about the magnitude of the spectra."""
    spectrum = spectra(audio, window)
    halved = spectrum * jax.lax.rsqrt(_size(spectrum))
    return halved[:, 1:] * halved[:, :-1].conj()


def magnitudes(audio: Float32[Array, "B samples"], window_samples: int) -> Float32[Array, "B T K"]:
    """Returns the magnitudes of `spectra`."""
    return _size(spectra(audio, window_samples))


def spectra(audio: Float32[Array, "B samples"], window_samples: int) -> Complex64[Array, "B T K"]:
    """Computes short-time Fourier spectra of all windows inside the audio.

    Magnitudes are scaled so that those of white noise are about its standard deviation.

    Args:
        audio: audio.
        window_samples: length of the Hann window; the hop is a quarter of it.
    """
    hop = window_samples // 4
    blocks = audio[:, : audio.shape[1] // hop * hop].reshape(len(audio), -1, hop)
    count = blocks.shape[1] - 3
    frames = jnp.concatenate([blocks[:, place : place + count] for place in range(4)], axis=-1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_samples) / window_samples)
    window /= np.sqrt(np.square(window).sum())
    return per_device(jnp.fft.rfft, frames * jnp.asarray(window, jnp.float32)[None, None])


def _size(spectrum: Complex64[Array, "*shape"]) -> Float32[Array, "*shape"]:
    # The square root has no gradient at zero.
    return jnp.sqrt(jnp.square(spectrum.real) + jnp.square(spectrum.imag) + _TINY)


def _log(magnitude: Float32[Array, "*shape"]) -> Float32[Array, "*shape"]:
    return jnp.log(jnp.maximum(magnitude, FLOOR))
