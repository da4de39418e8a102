"""The blocks that inverters and discriminators are built from.

As in `spectrodiff.models.layers`, modules are Flax NNX used through `nnx.split` and `nnx.merge`,
parameters are float32, and `dtype` is the type of the products. Axis letters: B batch, T any number
of places in time, D width.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.models.layers import Dense, fan_in_normal


class Linear(Dense):
    """x @ kernel + bias."""

    def __init__(
        self, inputs: int, outputs: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        super().__init__(inputs, outputs, dtype=dtype, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., inputs] -> [..., outputs]."""
        product = super().__call__(x)
        return product + rows(self.bias[...], x).astype(product.dtype)


class LayerNorm(nnx.Module):
    """Zero mean and unit variance, then a learnt scale and shift; computed in float32."""

    def __init__(self, width: int) -> None:
        self.scale = nnx.Param(jnp.ones(width, jnp.float32))
        self.shift = nnx.Param(jnp.zeros(width, jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., D], float32."""
        x = x.astype(jnp.float32)
        x = x - x.mean(axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(axis=-1, keepdims=True) + 1e-6)
        return x * rows(self.scale[...], x) + rows(self.shift[...], x)


class Convolution(nnx.Module):
    """A convolution over time, zero outside; the length stays, or is divided by the stride."""

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

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, inputs] -> [B, ceil(T / stride), outputs]."""
        reach = (self.kernel.shape[0] - 1) * self.dilation
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            window_strides=(self.stride,),
            padding=[(reach // 2, reach - reach // 2)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        return y + rows(self.bias[...], y).astype(y.dtype)


class Convolution2d(nnx.Module):
    """A convolution over time and frequency, zero outside; strides make either coarser."""

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

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, K, inputs] -> [B, ceil(T / stride), ceil(K / stride), outputs]."""
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
        return y + rows(self.bias[...], y).astype(y.dtype)


class TransposedConvolution(nnx.Module):
    """Upsampling by a factor with a kernel of twice its length: every place reaches over two.

    Output `factor * t + s` is that of input t, and of its nearer neighbour: the one before it for
    the first half of s, the one after it for the second. A matrix product gives all outputs of a
    place at once, which on a CPU is faster than a transposed convolution.
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
        # Half of the kernel's places meet each output.
        shape = (inputs, 2 * factor * outputs)
        self.kernel = nnx.Param(fan_in_normal(0.5)(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.factor, self.outputs, self.dtype = factor, outputs, dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, inputs] -> [B, factor * T, outputs]."""
        batch, length, _ = x.shape
        factor, before = self.factor, self.factor // 2
        spread = jnp.dot(x.astype(self.dtype), self.kernel[...].astype(self.dtype))
        early, late = jnp.split(spread.reshape(batch, length, 2 * factor, self.outputs), 2, axis=2)
        flat = [part.reshape(batch, -1, self.outputs) for part in (early, late)]
        # Input t spreads over the places from factor * t - before on.
        padded = [
            jnp.pad(part, [(0, 0), (place, factor - place), (0, 0)])
            for part, place in zip(flat, (0, factor), strict=True)
        ]
        y = (padded[0] + padded[1])[:, before : before + factor * length]
        return y + rows(self.bias[...], y).astype(y.dtype)

    @staticmethod
    def inputs_of(output: int, factor: int) -> tuple[int, int]:
        """The two neighbouring inputs that an output depends on."""
        last = (output + factor // 2) // factor
        return last - 1, last


# Recomputed in the backward pass, which takes less memory and no more time.
@functools.partial(jax.checkpoint, prevent_cse=False)
def gelu(x: jax.Array) -> jax.Array:
    """x times the normal distribution function of x, in its tanh approximation."""
    return nnx.gelu(x, approximate=True)


def shifted(x: jax.Array, count: int) -> list[jax.Array]:
    """`count` views of x [B, T, D], each one place later than the one before; zero outside.

    The one in the middle is x itself. On a CPU, sums and products of these are many times faster
    than a convolution of one channel each.
    """
    reach = count // 2
    padded = jnp.pad(x, [(0, 0), (reach, reach), (0, 0)])
    return [padded[:, place : place + x.shape[1]] for place in range(count)]


def rows(vector: jax.Array, like: jax.Array) -> jax.Array:
    """Gives a vector as many axes as `like` has, so that broadcasting is explicit."""
    return vector.reshape((1,) * (like.ndim - 1) + vector.shape)
