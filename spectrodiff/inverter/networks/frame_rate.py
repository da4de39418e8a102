"""The frame-rate generator: features to short-time spectra, frame by frame, and these to audio.

After Siuzdak, "Vocos" (ICLR 2024, arXiv:2306.00814): ConvNeXt blocks at the rate of the features,
then magnitudes and phases, then an inverse short-time Fourier transform, which does the upsampling.
Two things differ.

Magnitudes are learnt relative to those that the mel bands say, interpolated between their centres.

Each frame is the sum of a spectrum and of steady tones. The phases of the spectrum count from the
frame's own centre, as usual: an attack looks the same wherever it falls. A network that sees only
magnitudes cannot know how far a tone has turned since the frame before, and with such phases alone
gives every frame the same one, so that tones are drawn to multiples of 50 Hz. The phases of the
tones therefore count along, each with a frequency of its own (see `oscillators`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.audio.features import SYNTHESIS, mel_centers_hz
from spectrodiff.core.constants import HOP_SAMPLES, MAX_LOG_MEL, MIN_LOG_MEL, NUM_MELS, SAMPLE_RATE
from spectrodiff.inverter.config import FrameRateConfig
from spectrodiff.inverter.networks.layers import LayerNorm, Linear, gelu, rows, shifted
from spectrodiff.inverter.networks.oscillators import PERIOD_FRAMES, frequencies_hz, turns, waves
from spectrodiff.models.layers import scan_layers, stack

MAX_LOG_MAGNITUDE = 8.0  # a little more than a full-scale tone has
# Before training, relative to the mel bands: of Fourier bins, and of the many tones between them.
FIRST_LOG_MAGNITUDE, FIRST_OF_TONES = -2.0, -4.0


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


class FrameRateTrunk(nnx.Module):
    """Layers at the rate of the features, which generators end in different ways.

    Args:
        config: sizes.
        outputs: numbers for each frame.
        dtype: type of the matrix products.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: random numbers for the initial parameters.
    """

    def __init__(
        self,
        config: FrameRateConfig,
        outputs: int,
        *,
        dtype: DTypeLike,
        remat: bool,
        rngs: nnx.Rngs,
    ) -> None:
        D = config.width
        self.input = Linear(config.kernel_frames * NUM_MELS, D, dtype=dtype, rngs=rngs)
        self.input_norm = LayerNorm(D)
        self.layers = stack(
            lambda rngs: ConvNextBlock(config, dtype=dtype, rngs=rngs), config.layers, rngs
        )
        self.norm = LayerNorm(D)
        self.output = Linear(D, outputs, dtype=dtype, rngs=rngs)
        self.config, self.remat = config, remat

    def outputs(self, log_mel: jax.Array) -> jax.Array:
        """Unscaled features [B, F, M] -> [B, F, outputs] in the type of the matrix products."""
        neighbours = shifted(standardize(log_mel), self.config.kernel_frames)
        x = self.input_norm(self.input(jnp.concatenate(neighbours, axis=-1)))
        x = scan_layers(self.layers, lambda layer, x, _: layer(x), x, None, remat=self.remat)
        return self.output(self.norm(x))


class FrameRateGenerator(FrameRateTrunk):
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
        hertz = source_hz(config)
        super().__init__(config, 2 * len(hertz.all), dtype=dtype, remat=remat, rngs=rngs)
        firsts = FIRST_LOG_MAGNITUDE, FIRST_OF_TONES, FIRST_LOG_MAGNITUDE
        magnitudes = np.repeat(np.array(firsts, np.float32), [len(part) for part in hertz])
        self.output.bias[...] = jnp.concatenate([magnitudes, jnp.zeros(len(hertz.all))])

    def __call__(self, log_mel: jax.Array, start: jax.Array | None = None) -> jax.Array:
        """Audio from features.

        Args:
            log_mel: unscaled features [B, F, M].
            start: int32 [B], for how many frames the oscillators have been running before the
                first; by default none.

        Returns:
            float32 [B, F * 320].
        """
        spectra, low = self.sources(log_mel, start)
        parts = jnp.concatenate([low.real, low.imag], axis=-1)
        tones = jnp.asarray(waves(source_hz(self.config).low, self.config.window_samples))
        return overlap_add(inverse_fourier(spectra) + jnp.matmul(parts, tones, precision="highest"))

    def sources(
        self, log_mel: jax.Array, start: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Complex spectra [B, F, K] of windows around each frame, and tones between bins [B, F, N].

        Args:
            log_mel: unscaled features [B, F, M].
            start: as above.
        """
        config, hertz = self.config, source_hz(self.config)
        K, N, S = len(hertz.spectrum), len(hertz.low), len(hertz.all)
        output = self.outputs(log_mel).astype(jnp.float32)
        bands = jnp.matmul(log_mel, interpolation(hertz.all), precision="highest")
        frames = jnp.arange(log_mel.shape[1])[None]
        frames = frames if start is None else frames + start[:, None]
        turned = jnp.asarray(turns_of_sources(config))[frames % PERIOD_FRAMES]
        real, imaginary = polar(output[..., :S] + bands, output[..., S:] + turned)
        sources = jax.lax.complex(real, imaginary)
        low, high = sources[..., K : K + N], sources[..., K + N :]
        return sources[..., :K].at[..., -high.shape[-1] :].add(high), low


class SourceHz(NamedTuple):
    """Frequencies of what a frame is the sum of; the network's outputs are in this order."""

    spectrum: np.ndarray  # the bins [K], whose phases count from each frame's centre
    low: np.ndarray  # tones between bins [N]
    high: np.ndarray  # tones that are bins, the last ones of the K

    @property
    def all(self) -> np.ndarray:
        """One after another, [S]."""
        return np.concatenate(self)


def source_hz(config: FrameRateConfig) -> SourceHz:
    """The frequencies for some length of windows."""
    bins = np.arange(config.fourier_bins) * SAMPLE_RATE / config.window_samples
    return SourceHz(bins, *frequencies_hz(config.window_samples))


def turns_of_sources(config: FrameRateConfig) -> np.ndarray:
    """Radians [64, S] that tones have turned by since frame 0, and zero for the spectrum."""
    spectrum, *tones = source_hz(config)
    still = np.zeros((PERIOD_FRAMES, len(spectrum)), np.float32)
    return np.concatenate([still, turns(np.concatenate(tones), PERIOD_FRAMES)], axis=1)


Parts = tuple[jax.Array, jax.Array]


@jax.custom_jvp
def polar(log_magnitude: jax.Array, phase: jax.Array) -> Parts:
    """Real and imaginary parts; magnitudes stop at the largest there is."""
    magnitude = jnp.exp(jnp.minimum(log_magnitude, MAX_LOG_MAGNITUDE))
    return magnitude * jnp.cos(phase), magnitude * jnp.sin(phase)


@polar.defjvp
def _polar_derivative(primals: Parts, tangents: Parts) -> tuple[Parts, Parts]:
    # In terms of the result: on a CPU, sines and cosines take longest, and JAX's own rule makes a
    # training step 4 to 9 % longer.
    real, imaginary = polar(*primals)
    grown, turned = tangents
    grown = jnp.where(primals[0] < MAX_LOG_MAGNITUDE, grown, 0.0)
    derivative = (real * grown - imaginary * turned, imaginary * grown + real * turned)
    return (real, imaginary), derivative


def standardize(log_mel: jax.Array) -> jax.Array:
    """About the range [-1, 1], without clipping what is louder."""
    return 2 * (log_mel - MIN_LOG_MEL) / (MAX_LOG_MEL - MIN_LOG_MEL) - 1


def interpolation(hertz: np.ndarray) -> np.ndarray:
    """float32 [M, S]: from mel bands to frequencies [S], linear on the mel axis."""

    def mel(hz: np.ndarray) -> np.ndarray:
        return np.log1p(hz / 700)

    centers = mel(mel_centers_hz(SYNTHESIS))
    columns = [np.interp(mel(hertz), centers, unit) for unit in np.eye(NUM_MELS)]
    return np.stack(columns).astype(np.float32)


def inverse_fourier(spectra: jax.Array) -> jax.Array:
    """Complex spectra [B, F, K] to windows [B, F, W]; phases count from a window's middle."""
    return jnp.fft.fftshift(jnp.fft.irfft(spectra, 2 * (spectra.shape[-1] - 1)), axes=-1)


def overlap_add(windows: jax.Array) -> jax.Array:
    """Windows of sound to sound, as the inverse short-time Fourier transform puts them together.

    Frame i of the features stands for the samples from 320 i to 320 i + 640, and the middle of
    window i is that of frame i.

    Args:
        windows: [B, F, W], not weighted yet.

    Returns:
        float32 [B, F * 320].
    """
    batch, frames, window_samples = windows.shape
    hops = window_samples // HOP_SAMPLES
    window = hann(window_samples)
    pieces = windows * rows(jnp.asarray(window), windows)
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
