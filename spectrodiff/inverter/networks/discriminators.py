"""Discriminators: networks that classify audio as recorded or inverted, for adversarial losses.

Their inputs are short-time spectra at several resolutions (after Défossez et al. 2022,
arXiv:2210.13438) and waveforms at several sample rates (after Kumar et al. 2019, arXiv:1910.06711).
Axis letters: B batch, T positions in time, K Fourier bins.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from spectrodiff.inverter.losses import spectra
from spectrodiff.inverter.networks.layers import Convolution, Convolution2d

SLOPE = 0.2  # of the leaky ReLUs
# All layers but the last halve the number of Fourier bins; after the first, dilation in time grows.
BIN_STRIDE = 2
TIME_DILATIONS = (1, 2, 4)
# Kernel, stride and channels (relative to the first layer's) of the layers of a waveform
# discriminator; strided kernels overlap by half. MelGAN's have groups, which are slow on CPUs.
WAVE_LAYERS = ((15, 1, 1), (8, 4, 4), (8, 4, 16), (5, 1, 16))


@dataclasses.dataclass(frozen=True)
class DiscriminatorsConfig:
    """Number and sizes of the discriminators.

    Attributes:
        stft_windows: window length of each spectral discriminator, in samples.
        wave_factors: factor by which each waveform discriminator first lowers the sample rate.
        stft_width: channels of the spectral discriminators.
        wave_width: channels of the first layer of the waveform discriminators.
    """

    stft_windows: tuple[int, ...]
    wave_factors: tuple[int, ...]
    stft_width: int
    wave_width: int

    @property
    def names(self) -> list[str]:
        """Name of each discriminator."""
        return [f"stft_{window}" for window in self.stft_windows] + [
            f"wave_{factor}" for factor in self.wave_factors
        ]


class Judgment(NamedTuple):
    """Output of a discriminator."""

    scores: Float32[Array, " B *positions"]  # above 0 for audio classified as recorded
    features: list[Float[Array, " B *positions channels"]]  # activations of its layers


class StftDiscriminator(nnx.Module):
    """Convolutions over time and frequency of complex spectra with compressed magnitudes."""

    def __init__(self, window: int, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.window = window
        self.first = Convolution2d(2, width, (3, 9), stride=(1, BIN_STRIDE), dtype=dtype, rngs=rngs)
        for dilation in TIME_DILATIONS:
            layer = Convolution2d(
                width,
                width,
                (3, 9),
                stride=(1, BIN_STRIDE),
                dilation=(dilation, 1),
                dtype=dtype,
                rngs=rngs,
            )
            setattr(self, f"dilation{dilation}", layer)
        self.last = Convolution2d(width, 1, (3, 3), dtype=dtype, rngs=rngs)

    def __call__(self, audio: Float32[Array, "B samples"]) -> Judgment:
        """Computes a score for every position in time and frequency."""
        spectrum = spectra(audio, self.window)
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        parts = jnp.stack([spectrum.real, spectrum.imag], axis=-1)
        x = parts * ((power + 1e-6) ** -0.25)[..., None]
        layers = [self.first, *(getattr(self, f"dilation{d}") for d in TIME_DILATIONS)]
        return _judge(layers, self.last, x)


class WaveDiscriminator(nnx.Module):
    """Convolutions over the samples of audio at a lower sample rate."""

    def __init__(self, factor: int, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.factor = factor
        inputs = 1
        for number, (kernel, stride, times) in enumerate(WAVE_LAYERS):
            layer = Convolution(
                inputs, times * width, kernel, stride=stride, dtype=dtype, rngs=rngs
            )
            setattr(self, f"layer{number}", layer)
            inputs = times * width
        self.last = Convolution(inputs, 1, 3, dtype=dtype, rngs=rngs)

    def __call__(self, audio: Float32[Array, "B samples"]) -> Judgment:
        """Computes a score for every position in time."""
        samples = audio.shape[1] // self.factor * self.factor
        slower = audio[:, :samples].reshape(len(audio), -1, self.factor).mean(axis=-1)
        layers = [getattr(self, f"layer{number}") for number in range(len(WAVE_LAYERS))]
        return _judge(layers, self.last, slower[..., None])


class Discriminators(nnx.Module):
    """All discriminators of a run.

    Args:
        config: number and sizes.
        dtype: type of the convolutions.
        rngs: random streams for the initial parameters.
    """

    def __init__(
        self, config: DiscriminatorsConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        self.names = tuple(config.names)
        for window in config.stft_windows:
            stft = StftDiscriminator(window, config.stft_width, dtype=dtype, rngs=rngs)
            setattr(self, f"stft_{window}", stft)
        for factor in config.wave_factors:
            wave = WaveDiscriminator(factor, config.wave_width, dtype=dtype, rngs=rngs)
            setattr(self, f"wave_{factor}", wave)

    def __call__(self, audio: Float32[Array, "B samples"]) -> dict[str, Judgment]:
        """Returns the output of each discriminator by name."""
        return {name: getattr(self, name)(audio) for name in self.names}


Layer = Callable[[jax.Array], jax.Array]


def _judge(
    layers: Sequence[Layer], last: Layer, x: Float[Array, " B *positions inputs"]
) -> Judgment:
    features = []
    for layer in layers:
        x = nnx.leaky_relu(layer(x), SLOPE)
        features.append(x)
    return Judgment(last(x).astype(jnp.float32), features)
