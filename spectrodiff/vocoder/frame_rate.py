"""The frame-rate generator: features to short-time spectra, frame by frame, and these to audio.

After Siuzdak, "Vocos" (ICLR 2024, arXiv:2306.00814): ConvNeXt blocks at the rate of the features,
then magnitudes and phases, then an inverse short-time Fourier transform, which does the upsampling.
Two things differ.

Magnitudes are learnt relative to those that the mel bands say, interpolated between their centres.

Each frame is the sum of two spectra. The phases of one count from the frame's own centre, as usual:
an attack looks the same wherever it falls. A network that sees only magnitudes cannot know how far
a steady tone has turned since the frame before, and with such phases alone gives every frame the
same one, so that tones are drawn to multiples of 50 Hz. The phases of the other spectrum therefore
count along with the centre frequencies of their bins: where nothing changes, it is a steady tone.
They repeat after as many frames as there are hops in a window.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.features import (
    HOP_SAMPLES,
    MAX_LOG_MEL,
    MIN_LOG_MEL,
    NUM_MELS,
    SAMPLE_RATE,
    SYNTHESIS,
    mel_centers_hz,
)
from spectrodiff.models.layers import scan_layers, stack
from spectrodiff.vocoder.config import FrameRateConfig
from spectrodiff.vocoder.layers import LayerNorm, Linear, gelu, rows, shifted

MAX_LOG_MAGNITUDE = 8.0  # a little more than a full-scale tone has
FIRST_LOG_MAGNITUDE = -2.0  # of both spectra, relative to the mel bands


class ConvNextBlock(nnx.Module):
    """x + scale * (depthwise convolution over time, norm, and a hidden layer at each frame)."""

    def __init__(self, config: FrameRateConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        D, kernel = config.width, config.kernel_frames
        init = nnx.initializers.normal(kernel**-0.5)
        self.taps = nnx.Param(init(rngs.params(), (kernel, D), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(D, jnp.float32))
        self.norm = LayerNorm(D)
        self.up = Linear(D, config.hidden_width, dtype=dtype, rngs=rngs)
        self.down = Linear(config.hidden_width, D, dtype=dtype, rngs=rngs)
        self.scale = nnx.Param(jnp.full(D, 1 / config.layers, jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, F, D] -> [B, F, D], float32."""
        taps = self.taps[...]
        mixed = rows(self.bias[...], x)
        for tap, part in zip(taps, shifted(x, len(taps)), strict=True):
            mixed = mixed + rows(tap, x) * part
        hidden = gelu(self.up(self.norm(mixed)))
        return x + rows(self.scale[...], x) * self.down(hidden).astype(jnp.float32)


class FrameRateGenerator(nnx.Module):
    """Log-mel to audio at the rate of the features.

    Args:
        config: sizes.
        dtype: type of the matrix products; spectra are always float32.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: random numbers for the initial parameters.
    """

    def __init__(
        self,
        config: FrameRateConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        D, K = config.width, config.fourier_bins
        self.input = Linear(config.kernel_frames * NUM_MELS, D, dtype=dtype, rngs=rngs)
        self.input_norm = LayerNorm(D)
        self.layers = stack(
            lambda rngs: ConvNextBlock(config, dtype=dtype, rngs=rngs), config.layers, rngs
        )
        self.norm = LayerNorm(D)
        self.output = Linear(D, 4 * K, dtype=dtype, rngs=rngs)
        self.output.bias[...] = jnp.repeat(jnp.array([FIRST_LOG_MAGNITUDE, 0.0]), 2 * K)
        self.config, self.remat = config, remat

    def __call__(self, log_mel: jax.Array) -> jax.Array:
        """Unscaled features [B, F, M] -> audio [B, F * 320], float32."""
        return overlap_add(self.spectra(log_mel))

    def spectra(self, log_mel: jax.Array) -> jax.Array:
        """Unscaled features [B, F, M] -> complex spectra [B, F, K] of windows around each frame."""
        config, K = self.config, self.config.fourier_bins
        neighbours = shifted(standardize(log_mel), config.kernel_frames)
        x = self.input_norm(self.input(jnp.concatenate(neighbours, axis=-1)))
        x = scan_layers(self.layers, lambda layer, x, _: layer(x), x, None, remat=self.remat)
        output = self.output(self.norm(x)).astype(jnp.float32)
        bands = jnp.matmul(log_mel, interpolation(config), precision="highest")
        log_magnitude = output[..., : 2 * K] + jnp.concatenate([bands, bands], axis=-1)
        turned = turns(config, log_mel.shape[1])
        phase = output[..., 2 * K :] + jnp.concatenate([0 * turned, turned], axis=-1)[None]
        real, imaginary = polar(log_magnitude, phase)
        return jax.lax.complex(
            real[..., :K] + real[..., K:], imaginary[..., :K] + imaginary[..., K:]
        )


@jax.custom_vjp
def polar(log_magnitude: jax.Array, phase: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary parts; magnitudes stop at the largest there is."""
    magnitude = jnp.exp(jnp.minimum(log_magnitude, MAX_LOG_MAGNITUDE))
    return magnitude * jnp.cos(phase), magnitude * jnp.sin(phase)


def _polar_forward(log_magnitude: jax.Array, phase: jax.Array) -> tuple[Any, Any]:
    parts = polar(log_magnitude, phase)
    return parts, (parts, log_magnitude < MAX_LOG_MAGNITUDE)


def _polar_backward(saved: Any, grads: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    # Sines and cosines are what takes longest on a CPU; these gradients need no more of them.
    (real, imaginary), grows = saved
    of_real, of_imaginary = grads
    along = jnp.where(grows, real * of_real + imaginary * of_imaginary, 0.0)
    return along, real * of_imaginary - imaginary * of_real


polar.defvjp(_polar_forward, _polar_backward)


def standardize(log_mel: jax.Array) -> jax.Array:
    """About the range [-1, 1], without clipping what is louder."""
    return 2 * (log_mel - MIN_LOG_MEL) / (MAX_LOG_MEL - MIN_LOG_MEL) - 1


def interpolation(config: FrameRateConfig) -> np.ndarray:
    """float32 [M, K]: from mel bands to Fourier bins, linear on the mel axis."""

    def mel(hz: np.ndarray) -> np.ndarray:
        return np.log1p(hz / 700)

    bin_hz = np.arange(config.fourier_bins) * SAMPLE_RATE / config.window_samples
    centers = mel(mel_centers_hz(SYNTHESIS))
    columns = [np.interp(mel(bin_hz), centers, unit) for unit in np.eye(NUM_MELS)]
    return np.stack(columns).astype(np.float32)


def turns(config: FrameRateConfig, frames: int) -> jax.Array:
    """Radians [F, K] that the centre frequency of each bin turns from frame 0 to each frame."""
    hops = config.window_samples // HOP_SAMPLES  # a bin turns k / hops times a frame
    steps = jnp.arange(frames)[:, None] * jnp.arange(config.fourier_bins)[None] % hops
    return steps.astype(jnp.float32) * (2 * np.pi / hops)


def overlap_add(spectra: jax.Array) -> jax.Array:
    """Inverse short-time Fourier transform whose frames are those of the features.

    Frame i of the features stands for the samples from 320 i to 320 i + 640, and window i has the
    same centre, which is also where its phases count from.

    Args:
        spectra: complex [B, F, K].

    Returns:
        float32 [B, F * 320].
    """
    batch, frames, bins = spectra.shape
    window_samples = 2 * (bins - 1)
    hops = window_samples // HOP_SAMPLES
    window = hann(window_samples)
    pieces = jnp.fft.fftshift(jnp.fft.irfft(spectra, window_samples), axes=-1)
    pieces = pieces * rows(jnp.asarray(window), pieces)
    pieces = pieces.reshape(batch, frames, hops, HOP_SAMPLES)
    # Piece s of frame i ends up in place i + s; the first sample of the sound is in place `before`.
    audio = jnp.zeros((batch, frames + hops - 1, HOP_SAMPLES))
    for place in range(hops):
        audio += jnp.pad(pieces[:, :, place], [(0, 0), (place, hops - 1 - place), (0, 0)])
    before = hops // 2 - 1
    audio = audio[:, before : before + frames].reshape(batch, -1)
    return audio / jnp.asarray(window_sums(window, frames))[None]


def hann(samples: int) -> np.ndarray:
    """The periodic Hann window, float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


def window_sums(window: np.ndarray, frames: int) -> np.ndarray:
    """How much of squared windows lies over each sample of `overlap_add`, float32 [F * 320]."""
    hops = len(window) // HOP_SAMPLES
    sums = np.zeros(((frames + hops - 1), HOP_SAMPLES))
    for place, part in enumerate(np.square(window, dtype=np.float64).reshape(hops, HOP_SAMPLES)):
        sums[place : place + frames] += part
    before = hops // 2 - 1
    return sums[before : before + frames].reshape(-1).astype(np.float32)
