"""Networks that learn to tell recorded from inverted sound, for the adversarial losses.

Of short-time spectra at several resolutions (after Défossez et al. 2022, arXiv:2210.13438) and of
waveforms at several rates (after Kumar et al. 2019, arXiv:1910.06711). Axis letters: B batch,
T places in time, K Fourier bins.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.inverter.losses import spectra
from spectrodiff.inverter.networks.layers import Convolution, Convolution2d

SLOPE = 0.2  # of the leaky ReLUs
# Every layer but the last halves the number of Fourier bins; those after the first look at ever
# more distant windows.
BIN_STRIDE = 2
TIME_DILATIONS = (1, 2, 4)
# Kernel, stride and channels (relative to the first layer's) of the layers of a waveform
# discriminator; strided kernels overlap by half. Without the groups of MelGAN's, which CPUs are
# slow at.
WAVE_LAYERS = ((15, 1, 1), (8, 4, 4), (8, 4, 16), (5, 1, 16))


@dataclasses.dataclass(frozen=True)
class DiscriminatorsConfig:
    """Which discriminators there are.

    Attributes:
        stft_windows: samples of the windows of each spectral one.
        wave_factors: by how much each waveform one lowers the rate of the sound first.
        stft_width: channels of the spectral ones.
        wave_width: channels of the first layer of the waveform ones.
    """

    stft_windows: tuple[int, ...]
    wave_factors: tuple[int, ...]
    stft_width: int
    wave_width: int

    @property
    def names(self) -> list[str]:
        """One for each."""
        return [f"stft_{window}" for window in self.stft_windows] + [
            f"wave_{factor}" for factor in self.wave_factors
        ]


class Judgement(NamedTuple):
    """What a discriminator makes of sounds."""

    scores: jax.Array  # [B, ...], float32; above 0 for what it takes to be recorded
    features: list[jax.Array]  # what its layers see


class StftDiscriminator(nnx.Module):
    """Convolutions over time and frequency of complex spectra, whose loudness is compressed."""

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

    def __call__(self, audio: jax.Array) -> Judgement:
        """Float32 [B, samples] -> a score for every place in time and frequency."""
        spectrum = spectra(audio, self.window)
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        parts = jnp.stack([spectrum.real, spectrum.imag], axis=-1)
        x = parts * ((power + 1e-6) ** -0.25)[..., None]
        layers = [self.first, *(getattr(self, f"dilation{d}") for d in TIME_DILATIONS)]
        return _judge(layers, self.last, x)


class WaveDiscriminator(nnx.Module):
    """Convolutions over the samples of a sound at a lower rate."""

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

    def __call__(self, audio: jax.Array) -> Judgement:
        """Float32 [B, samples] -> a score for every stretch of time."""
        samples = audio.shape[1] // self.factor * self.factor
        slower = audio[:, :samples].reshape(len(audio), -1, self.factor).mean(axis=-1)
        layers = [getattr(self, f"layer{number}") for number in range(len(WAVE_LAYERS))]
        return _judge(layers, self.last, slower[..., None])


class Discriminators(nnx.Module):
    """All of them.

    Args:
        config: which.
        dtype: type of the products.
        rngs: random numbers for the initial parameters.
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

    def __call__(self, audio: jax.Array) -> dict[str, Judgement]:
        """Float32 [B, samples] -> what each says."""
        return {name: getattr(self, name)(audio) for name in self.names}


def _judge(layers: list[Any], last: Any, x: jax.Array) -> Judgement:
    features = []
    for layer in layers:
        x = nnx.leaky_relu(layer(x), SLOPE)
        features.append(x)
    return Judgement(last(x).astype(jnp.float32), features)
