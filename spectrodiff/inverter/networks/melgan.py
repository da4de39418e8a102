"""The paper's generator: transposed convolutions from 50 frames to 16,000 samples per second.

MelGAN-style (Kumar et al. 2019, arXiv:1910.06711): four blocks upsample by 8, 5, 4 and 2, each
followed by three residual units of dilation 1, 3 and 9; kernels of 3 and ELU as in section 6 of the
paper. All layers use zero padding.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int

from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS
from spectrodiff.inverter.config import MelganConfig
from spectrodiff.inverter.networks.frame_rate import standardize
from spectrodiff.inverter.networks.layers import Convolution, TransposedConvolution

UPSAMPLING = (8, 5, 4, 2)
DILATIONS = (1, 3, 9)
KERNEL = 3


class ResidualUnit(nnx.Module):
    """Residual unit: a dilated and a pointwise convolution, each after an ELU."""

    def __init__(self, width: int, dilation: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.dilated = Convolution(width, width, KERNEL, dilation=dilation, dtype=dtype, rngs=rngs)
        self.mix = Convolution(width, width, 1, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Applies the unit."""
        return x + self.mix(nnx.elu(self.dilated(nnx.elu(x))))


class UpsamplingBlock(nnx.Module):
    """ELU, transposed convolution and residual units."""

    def __init__(
        self, width: int, outputs: int, factor: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.upsample = TransposedConvolution(width, outputs, factor, dtype=dtype, rngs=rngs)
        for dilation in DILATIONS:
            unit = ResidualUnit(outputs, dilation, dtype=dtype, rngs=rngs)
            setattr(self, f"dilation{dilation}", unit)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B upsampled outputs"]:
        """Returns factor * T positions."""
        x = self.upsample(nnx.elu(x))
        for dilation in DILATIONS:
            x = getattr(self, f"dilation{dilation}")(x)
        return x


class MelganGenerator(nnx.Module):
    """Generator of transposed convolutions.

    Args:
        config: sizes.
        dtype: type of the convolutions.
        remat: recompute activations in the backward pass, block by block.
        rngs: random streams for the initial parameters.
    """

    def __init__(
        self,
        config: MelganConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.remat = remat
        self.input = Convolution(NUM_MELS, config.width, KERNEL, dtype=dtype, rngs=rngs)
        width = config.width
        for factor in UPSAMPLING:
            block = UpsamplingBlock(width, width // 2, factor, dtype=dtype, rngs=rngs)
            setattr(self, f"by{factor}", block)
            width //= 2
        self.output = Convolution(width, 1, KERNEL, dtype=dtype, rngs=rngs)

    def __call__(
        self, log_mel: Float[Array, "B F M"], start: Int[Array, " B"] | None = None
    ) -> Float32[Array, "B samples"]:
        """Computes audio, F * 320 samples, from unscaled features; `start` has no effect."""
        del start
        x = self.input(standardize(log_mel))
        for factor in UPSAMPLING:
            block = getattr(self, f"by{factor}")
            x = jax.checkpoint(block.__call__)(x) if self.remat else block(x)
        return jnp.tanh(self.output(nnx.elu(x)).astype(jnp.float32))[..., 0]


def melgan_reach_frames() -> int:
    """Returns the largest distance of frames that the audio of a frame depends on."""
    # First and last position that the samples of a frame depend on, from the output to the input.
    first, last = 0, HOP_SAMPLES - 1
    reach = KERNEL // 2
    first, last = first - reach, last + reach
    for factor in reversed(UPSAMPLING):
        first, last = first - sum(DILATIONS) * reach, last + sum(DILATIONS) * reach
        first = TransposedConvolution.inputs_of(first, factor)[0]
        last = TransposedConvolution.inputs_of(last, factor)[1]
    return max(-first, last) + reach
