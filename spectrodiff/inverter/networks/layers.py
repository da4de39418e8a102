"""Building blocks of generators and discriminators.

As in `spectrodiff.models.layers`, modules are Flax NNX used through `nnx.split` and `nnx.merge`,
parameters are float32, and `dtype` is the type of products and convolutions. Axis letters: B batch,
T positions in time, D width.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from spectrodiff.models.layers import Dense, expand, fan_in_normal


class Linear(Dense):
    """x @ kernel + bias."""

    def __init__(
        self, inputs: int, outputs: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        super().__init__(inputs, outputs, dtype=dtype, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Returns the result in `dtype`."""
        product = super().__call__(x)
        return product + expand(self.bias[...], x).astype(product.dtype)


class LayerNorm(nnx.Module):
    """Normalization to zero mean and unit variance, then a learned scale and shift, in float32."""

    def __init__(self, width: int) -> None:
        self.scale = nnx.Param(jnp.ones(width, jnp.float32))
        self.shift = nnx.Param(jnp.zeros(width, jnp.float32))

    def __call__(self, x: Float[Array, "*batch D"]) -> Float32[Array, "*batch D"]:
        """Normalizes rows."""
        x = x.astype(jnp.float32)
        x = x - x.mean(axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(axis=-1, keepdims=True) + 1e-6)
        return x * expand(self.scale[...], x) + expand(self.shift[...], x)


class Convolution(nnx.Module):
    """Convolution over time with zero padding; the stride divides the length."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = (kernel, inputs, outputs)
        self.kernel = nnx.Param(fan_in_normal()(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.stride, self.dilation, self.dtype = stride, dilation, dtype

    def __call__(self, x: Float[Array, "B T inputs"]) -> Float[Array, "B strides outputs"]:
        """Returns ceil(T / stride) positions."""
        reach = (self.kernel.shape[0] - 1) * self.dilation
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            window_strides=(self.stride,),
            padding=[(reach // 2, reach - reach // 2)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return y + expand(self.bias[...], y).astype(y.dtype)


class Convolution2d(nnx.Module):
    """Convolution over time and frequency with zero padding; strides divide the lengths."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = (*kernel, inputs, outputs)
        self.kernel = nnx.Param(fan_in_normal()(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.stride, self.dilation, self.dtype = stride, dilation, dtype

    def __call__(
        self, x: Float[Array, "B T K inputs"]
    ) -> Float[Array, "B time_strides bin_strides outputs"]:
        """Returns ceil(T / stride) positions in time and ceil(K / stride) in frequency."""
        reach = [
            (size - 1) * step
            for size, step in zip(self.kernel.shape[:2], self.dilation, strict=True)
        ]
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            window_strides=self.stride,
            padding=[(width // 2, width - width // 2) for width in reach],
            rhs_dilation=self.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y + expand(self.bias[...], y).astype(y.dtype)


class TransposedConvolution(nnx.Module):
    """Upsampling by a factor with a kernel of twice that length.

    Output `factor * t + s` depends on input t and its nearer neighbor: the one before it for the
    first half of s, the one after it for the second. All contributions of an input come from one
    matrix product, which on a CPU is faster than a transposed convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        factor: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        # Half of the kernel contributes to each output.
        shape = (inputs, 2 * factor * outputs)
        self.kernel = nnx.Param(fan_in_normal(0.5)(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.factor, self.outputs, self.dtype = factor, outputs, dtype

    def __call__(self, x: Float[Array, "B T inputs"]) -> Float[Array, "B upsampled outputs"]:
        """Returns factor * T positions."""
        batch, length, _ = x.shape
        factor, before = self.factor, self.factor // 2
        spread = jnp.dot(x.astype(self.dtype), self.kernel[...].astype(self.dtype))
        early, late = jnp.split(spread.reshape(batch, length, 2 * factor, self.outputs), 2, axis=2)
        flat = [part.reshape(batch, -1, self.outputs) for part in (early, late)]
        # Input t contributes to 2 * factor outputs, beginning with factor * t - before.
        padded = [
            jnp.pad(part, [(0, 0), (place, factor - place), (0, 0)])
            for part, place in zip(flat, (0, factor), strict=True)
        ]
        y = (padded[0] + padded[1])[:, before : before + factor * length]
        return y + expand(self.bias[...], y).astype(y.dtype)

    @staticmethod
    def inputs_of(output: int, factor: int) -> tuple[int, int]:
        """Returns the two neighboring inputs that an output depends on."""
        last = (output + factor // 2) // factor
        return last - 1, last


# Recomputed in the backward pass, which saves memory and takes no longer.
@functools.partial(jax.checkpoint, prevent_cse=False)
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Gaussian error linear unit, tanh approximation."""
    return nnx.gelu(x, approximate=True)


def shifted(x: Float[Array, "B T D"], count: int) -> list[Float[Array, "B T D"]]:
    """Returns `count` (odd) copies of x shifted in time, zero outside; the middle one is x.

    Copy i holds, at position t, x at position t + i - count // 2. On a CPU, sums and products of
    these are many times faster than a depthwise convolution.
    """
    reach = count // 2
    padded = jnp.pad(x, [(0, 0), (reach, reach), (0, 0)])
    return [padded[:, place : place + x.shape[1]] for place in range(count)]
