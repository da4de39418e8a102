"""The blocks that inverters and discriminators are built from.

As in `spectrodiff.models.layers`, modules are Flax NNX used through `nnx.split` and `nnx.merge`,
parameters are float32, and `dtype` is the type of the products. Axis letters: B batch, T any number
of places in time, D width.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.models.layers import Dense


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
