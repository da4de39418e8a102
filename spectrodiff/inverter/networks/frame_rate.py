"""Frame-rate generator: features to short-time spectra frame by frame, then to audio.

After Siuzdak, "Vocos" (ICLR 2024, arXiv:2306.00814): ConvNeXt blocks at the frame rate of the
features predict magnitudes and phases, and an inverse short-time Fourier transform upsamples. There
are two differences.

Magnitudes are predicted relative to the mel bands, interpolated between their centers.

Each frame is the sum of a spectrum and of stationary tones. The phases of the spectrum are relative
to the frame's center, as usual, so that the spectrum of an attack does not depend on its time. From
magnitudes alone, a network cannot know the phase that a tone has reached since the frame before;
with such phases alone it predicts the same phase for every frame, which pulls tones to multiples of
50 Hz. The phases of the tones therefore advance by themselves, each at a fixed frequency (see
`oscillators`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Complex64, Float, Float32, Float64, Int

from spectrodiff.audio.features import SYNTHESIS, mel_centers_hz
from spectrodiff.core.constants import HOP_SAMPLES, MAX_LOG_MEL, MIN_LOG_MEL, NUM_MELS, SAMPLE_RATE
from spectrodiff.core.parallel import per_device
from spectrodiff.inverter.config import FrameRateConfig
from spectrodiff.inverter.networks.layers import LayerNorm, Linear, gelu, shifted
from spectrodiff.inverter.networks.oscillators import PERIOD_FRAMES, frequencies_hz, phases, waves
from spectrodiff.models.layers import expand, scan_layers, stack

MAX_LOG_MAGNITUDE = 8.0  # slightly above that of a full-scale tone
# Initial log magnitudes of Fourier bins and of the tones between them, relative to the mel bands.
INITIAL_LOG_MAGNITUDE, INITIAL_LOG_MAGNITUDE_OF_TONES = -2.0, -4.0


class ConvNextBlock(nnx.Module):
    """Residual block: depthwise convolution over time, norm, hidden layer at each frame, scale."""

    def __init__(self, config: FrameRateConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        D, kernel = config.width, config.kernel_frames
        init = nnx.initializers.normal(kernel**-0.5)
        self.taps = nnx.Param(init(rngs.params(), (kernel, D), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(D, jnp.float32))
        self.norm = LayerNorm(D)
        self.up = Linear(D, config.hidden_width, dtype=dtype, rngs=rngs)
        self.down = Linear(config.hidden_width, D, dtype=dtype, rngs=rngs)
        self.scale = nnx.Param(jnp.full(D, 1 / config.layers, jnp.float32))

    def __call__(self, x: Float32[Array, "B F D"]) -> Float32[Array, "B F D"]:
        """Returns x plus the scaled output of the block."""
        taps = self.taps[...]
        mixed = expand(self.bias[...], x)
        for tap, part in zip(taps, shifted(x, len(taps)), strict=True):
            mixed = mixed + expand(tap, x) * part
        hidden = gelu(self.up(self.norm(mixed)))
        return x + expand(self.scale[...], x) * self.down(hidden).astype(jnp.float32)


class FrameRateTrunk(nnx.Module):
    """Layers at the frame rate of the features, shared by two generators.

    Args:
        config: sizes.
        outputs: outputs per frame.
        dtype: type of the matrix products.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: random streams for the initial parameters.
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

    def outputs(self, log_mel: Float[Array, "B F M"]) -> Float[Array, "B F outputs"]:
        """Computes the outputs from unscaled features, in the type of the matrix products."""
        neighbors = shifted(standardize(log_mel), self.config.kernel_frames)
        x = self.input_norm(self.input(jnp.concatenate(neighbors, axis=-1)))
        x = scan_layers(self.layers, lambda layer, x, _: layer(x), x, None, remat=self.remat)
        return self.output(self.norm(x))


class FrameRateGenerator(FrameRateTrunk):
    """Generator at the frame rate of the features, with oscillators for tones.

    Args:
        config: sizes.
        dtype: type of the matrix products; spectra are always float32.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: random streams for the initial parameters.
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
        initial = (INITIAL_LOG_MAGNITUDE, INITIAL_LOG_MAGNITUDE_OF_TONES, INITIAL_LOG_MAGNITUDE)
        magnitudes = np.repeat(np.array(initial, np.float32), [len(part) for part in hertz])
        self.output.bias[...] = jnp.concatenate([magnitudes, jnp.zeros(len(hertz.all))])

    def __call__(
        self, log_mel: Float[Array, "B F M"], start: Int[Array, " B"] | None = None
    ) -> Float32[Array, "B samples"]:
        """Computes audio, F * 320 samples, from features.

        Args:
            log_mel: unscaled features.
            start: position of the first frame in the period of the oscillators; 0 if None.
        """
        spectra, low = self.sources(log_mel, start)
        parts = jnp.concatenate([low.real, low.imag], axis=-1)
        tones = jnp.asarray(waves(source_hz(self.config).low, self.config.window_samples))
        return overlap_add(inverse_fourier(spectra) + jnp.matmul(parts, tones, precision="highest"))

    def sources(
        self, log_mel: Float[Array, "B F M"], start: Int[Array, " B"] | None = None
    ) -> tuple[Complex64[Array, "B F K"], Complex64[Array, "B F N"]]:
        """Computes spectra of windows around each frame, and amplitudes of tones between bins.

        Args:
            log_mel: unscaled features.
            start: position of the first frame in the period of the oscillators; 0 if None.
        """
        config, hertz = self.config, source_hz(self.config)
        K, N, S = len(hertz.spectrum), len(hertz.low), len(hertz.all)
        output = self.outputs(log_mel).astype(jnp.float32)
        bands = jnp.matmul(log_mel, interpolation(hertz.all), precision="highest")
        frames = jnp.arange(log_mel.shape[1])[None]
        frames = frames if start is None else frames + start[:, None]
        advance = jnp.asarray(phases_of_sources(config))[frames % PERIOD_FRAMES]
        real, imaginary = polar(output[..., :S] + bands, output[..., S:] + advance)
        sources = jax.lax.complex(real, imaginary)
        low, high = sources[..., K : K + N], sources[..., K + N :]
        return sources[..., :K].at[..., -high.shape[-1] :].add(high), low


class SourceHz(NamedTuple):
    """Frequencies of the components of a frame, in the order of the network's outputs."""

    spectrum: Float64[np.ndarray, " K"]  # Fourier bins; phases relative to each frame's center
    low: Float64[np.ndarray, " N"]  # tones between bins
    high: Float64[np.ndarray, " high"]  # tones at the last of the bins

    @property
    def all(self) -> Float64[np.ndarray, " S"]:
        """All frequencies in one array."""
        return np.concatenate(self)


def source_hz(config: FrameRateConfig) -> SourceHz:
    """Returns the frequencies for a generator's window length."""
    bins = np.arange(config.fourier_bins) * SAMPLE_RATE / config.window_samples
    return SourceHz(bins, *frequencies_hz(config.window_samples))


def phases_of_sources(config: FrameRateConfig) -> Float32[np.ndarray, "64 S"]:
    """Phase advance since frame 0 of tones, in radians, and zero for the spectrum."""
    spectrum, *tones = source_hz(config)
    zero = np.zeros((PERIOD_FRAMES, len(spectrum)), np.float32)
    return np.concatenate([zero, phases(np.concatenate(tones), PERIOD_FRAMES)], axis=1)


Parts = tuple[Float32[Array, "*shape"], Float32[Array, "*shape"]]


@jax.custom_jvp
def polar(log_magnitude: Float32[Array, "*shape"], phase: Float32[Array, "*shape"]) -> Parts:
    """Returns real and imaginary parts; log magnitudes are limited to `MAX_LOG_MAGNITUDE`."""
    magnitude = jnp.exp(jnp.minimum(log_magnitude, MAX_LOG_MAGNITUDE))
    return magnitude * jnp.cos(phase), magnitude * jnp.sin(phase)


@polar.defjvp
def _polar_derivative(primals: Parts, tangents: Parts) -> tuple[Parts, Parts]:
    # Computed from the result: sines and cosines dominate on a CPU, and with JAX's own rule a
    # training step takes 4 to 9 % longer.
    real, imaginary = polar(*primals)
    by_size, by_phase = tangents
    by_size = jnp.where(primals[0] < MAX_LOG_MAGNITUDE, by_size, 0.0)
    derivative = (real * by_size - imaginary * by_phase, imaginary * by_size + real * by_phase)
    return (real, imaginary), derivative


def standardize(log_mel: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Scales features to about [-1, 1], without clipping."""
    return 2 * (log_mel - MIN_LOG_MEL) / (MAX_LOG_MEL - MIN_LOG_MEL) - 1


def interpolation(hertz: Float64[np.ndarray, " S"]) -> Float32[np.ndarray, "M S"]:
    """Returns the matrix that interpolates mel bands at frequencies, linear on the mel axis."""

    def mel(hz: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        return np.log1p(hz / 700)

    centers = mel(mel_centers_hz(SYNTHESIS))
    columns = [np.interp(mel(hertz), centers, unit) for unit in np.eye(NUM_MELS)]
    return np.stack(columns).astype(np.float32)


def inverse_fourier(spectra: Complex64[Array, "B F K"]) -> Float32[Array, "B F W"]:
    """Transforms spectra to windows of audio; phases are relative to a window's center."""
    return jnp.fft.fftshift(per_device(jnp.fft.irfft, spectra), axes=-1)


def overlap_add(windows: Float32[Array, "B F W"]) -> Float32[Array, "B samples"]:
    """Adds windows up to audio, F * 320 samples, as the inverse short-time Fourier transform does.

    Frame i of the features covers the samples from 320 i to 320 i + 640, and window i has the same
    center.

    Args:
        windows: audio of the windows before weighting.
    """
    batch, frames, window_samples = windows.shape
    hops = window_samples // HOP_SAMPLES
    window = hann(window_samples)
    parts = windows * expand(jnp.asarray(window), windows)
    parts = parts.reshape(batch, frames, hops, HOP_SAMPLES)
    # Part s of frame i is added at hop i + s; the first sample of the audio is at hop `before`.
    audio = jnp.zeros((batch, frames + hops - 1, HOP_SAMPLES))
    for place in range(hops):
        audio += jnp.pad(parts[:, :, place], [(0, 0), (place, hops - 1 - place), (0, 0)])
    before = hops // 2 - 1
    audio = audio[:, before : before + frames].reshape(batch, -1)
    return audio / jnp.asarray(window_sums(window, frames))[None]


def hann(samples: int) -> Float32[np.ndarray, " W"]:
    """Returns the periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


def window_sums(window: Float32[np.ndarray, " W"], frames: int) -> Float32[np.ndarray, " samples"]:
    """Returns the sum of the squared windows over each sample of `overlap_add`."""
    hops = len(window) // HOP_SAMPLES
    sums = np.zeros(((frames + hops - 1), HOP_SAMPLES))
    for place, part in enumerate(np.square(window, dtype=np.float64).reshape(hops, HOP_SAMPLES)):
        sums[place : place + frames] += part
    before = hops // 2 - 1
    return sums[before : before + frames].reshape(-1).astype(np.float32)
