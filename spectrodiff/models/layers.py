"""Building blocks of the networks: T5.1.1 style, pre-norm, without biases.

Modules are Flax NNX, used only through `nnx.split` and `nnx.merge`. Parameters are float32; `dtype`
is the type of the matrix products. A `key` argument is consumed; `None` means no dropout. Axis
letters: see `spectrodiff.models.config`; T and S are lengths of sequences.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Key

from spectrodiff.core.parallel import use_whole

DropoutKey = Key[Array, ""] | None
Module = TypeVar("Module", bound=nnx.Module)
Carry = TypeVar("Carry")
Tree = TypeVar("Tree")


def split_key(key: DropoutKey, count: int) -> list[DropoutKey]:
    """Splits a dropout key; returns `count` times None if there is none."""
    return [None] * count if key is None else list(jax.random.split(key, count))


def dropout(
    x: Float[Array, "*axes"], rate: float, key: DropoutKey, shared_axis: int | None = None
) -> Float[Array, "*axes"]:
    """Zeroes entries with probability `rate`, scales up the rest; one mask along `shared_axis`."""
    if key is None or rate == 0.0:
        return x
    shape = list(x.shape)
    if shared_axis is not None:
        shape[shared_axis] = 1
    return _keep(x, jax.random.bernoulli(key, 1.0 - rate, shape), 1.0 - rate)


# Of functions with this mark, which are cheap, only the inputs are kept for the backward pass. What
# they compute on the way would take half of the memory of a training step, and save no time.
_recomputed = functools.partial(jax.checkpoint, prevent_cse=False)


@functools.partial(_recomputed, static_argnums=2)
def _keep(x: jax.Array, keep: jax.Array, share: float) -> jax.Array:
    return jnp.where(keep, x / share, jnp.zeros((), x.dtype))


def fan_in_normal(scale: float = 1.0, *, truncated: bool = True) -> nnx.Initializer:
    """Normal distribution with variance `scale` / fan-in, as T5 initializes dense layers.

    Args:
        scale: factor of the variance.
        truncated: leave out values beyond two standard deviations of the normal distribution, as
            everywhere but in attention.
    """
    return nnx.initializers.variance_scaling(
        scale, "fan_in", "truncated_normal" if truncated else "normal"
    )


class Dense(nnx.Module):
    """x @ kernel, without bias."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        dtype: DTypeLike = jnp.float32,
        init: nnx.Initializer | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        init = init or fan_in_normal()
        self.kernel = nnx.Param(init(rngs.params(), (inputs, outputs), jnp.float32))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Returns the product in `dtype`."""
        return use_whole(_matmul, self.kernel[...], x, self.dtype)


def _matmul(
    kernel: Float[Array, "inputs outputs"], x: Float[Array, "*batch inputs"]
) -> Float[Array, "*batch outputs"]:
    """Multiplies by a kernel; on a CPU, without forward-mode derivatives."""
    return _cpu_matmul(x, kernel) if jax.default_backend() == "cpu" else jnp.dot(x, kernel)


@jax.custom_vjp
def _cpu_matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(x, kernel)


def _cpu_matmul_forward(
    x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return jnp.dot(x, kernel), (x, kernel)


def _cpu_matmul_backward(
    saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # JAX computes the kernel's gradient as grad^T x and transposes the result, which XLA's CPU
    # compiler turns into strided copies of `grad`. A forward and backward pass in float32 on two
    # AVX2 cores takes 21 % longer that way for the network of `mini`, 16 % for "small".
    x, kernel = saved
    rows, grad_rows = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
    return jnp.dot(grad, kernel.T), jnp.dot(rows.T, grad_rows)


_cpu_matmul.defvjp(_cpu_matmul_forward, _cpu_matmul_backward)


class RMSNorm(nnx.Module):
    """x / rms(x) times a learned scale, computed in float32."""

    def __init__(self, width: int, *, dtype: DTypeLike = jnp.float32) -> None:
        self.scale = nnx.Param(jnp.ones(width, jnp.float32))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Returns normalized rows in `dtype`."""
        return _normalize(x, self.scale[...]).astype(self.dtype)


@_recomputed
def _normalize(
    x: Float[Array, "*batch D"], scale: Float[Array, " D"]
) -> Float32[Array, "*batch D"]:
    x = x.astype(jnp.float32)
    x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
    return x * expand(scale, x)


class FeedForward(nnx.Module):
    """Gated feed-forward block: down(gelu(gate(x)) * up(x))."""

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        dropout: float = 0.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.gate = Dense(width, hidden, dtype=dtype, rngs=rngs)
        self.up = Dense(width, hidden, dtype=dtype, rngs=rngs)
        self.down = Dense(hidden, width, dtype=dtype, rngs=rngs)
        self.dropout = dropout

    def __call__(
        self, x: Float[Array, "B T D"], *, key: DropoutKey = None
    ) -> Float[Array, "B T D"]:
        """Applies the block to every position."""
        hidden = _gated_gelu(self.gate(x), self.up(x))
        return self.down(dropout(hidden, self.dropout, key, shared_axis=1))


@_recomputed  # the derivative of gelu would keep six arrays
def _gated_gelu(gate: Float[Array, "*axes"], up: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """gelu(gate) * up, with the tanh approximation of T5.1.1."""
    return nnx.gelu(gate, approximate=True) * up


def film(
    x: Float[Array, "B T D"], scale_and_shift: Float[Array, "#B 2*D"]
) -> Float[Array, "B T D"]:
    """Feature-wise linear modulation: x * (1 + scale) + shift.

    Args:
        x: features.
        scale_and_shift: both side by side, per example or one row for the whole batch.
    """
    scale, shift = jnp.split(scale_and_shift[:, None].astype(x.dtype), 2, axis=-1)
    return x * (1.0 + scale) + shift


def stack(make: Callable[[nnx.Rngs], Module], layers: int, rngs: nnx.Rngs) -> Module:
    """Returns `layers` independently initialized modules as one, with a leading axis L."""
    keys = jax.random.split(rngs.params(), layers)
    return nnx.vmap(lambda key: make(nnx.Rngs(key)))(keys)


def scan_layers(
    layers: Module,
    body: Callable[[Module, Carry, Any], Carry],
    carry: Carry,
    per_layer: Any,
    *,
    remat: bool = False,
) -> Carry:
    """Runs `body(layer, carry, slice of per_layer)` through stacked layers, first to last.

    Args:
        layers: module made by `stack`.
        body: computation of one layer.
        carry: value passed from layer to layer, usually x [B, T, D].
        per_layer: tree of arrays with a leading axis L.
        remat: recompute a layer's activations in the backward pass instead of keeping them.
    """
    definition, state = nnx.split(layers)
    # Plain dicts: flattening an nnx.State costs Python time for every variable.
    stacked = nnx.to_pure_dict(state)

    def step(carry: Carry, layer: tuple[Any, Any]) -> tuple[Carry, None]:
        arrays, inputs = layer
        return body(nnx.merge(definition, arrays), carry, inputs), None

    if remat:
        # Inside a scan, nothing can be merged across the checkpoint boundary anyway.
        step = jax.checkpoint(step, prevent_cse=False)
    return jax.lax.scan(step, carry, (stacked, per_layer))[0]


def map_layers(layers: Module, function: Callable[[Module], Tree]) -> Tree:
    """Applies a function to each of stacked layers; its results get a leading axis L.

    Args:
        layers: module made by `stack`.
        function: computation of one layer.
    """
    definition, state = nnx.split(layers)
    result: Tree = jax.lax.map(
        lambda arrays: function(nnx.merge(definition, arrays)), nnx.to_pure_dict(state)
    )
    return result


def layer_keys(key: DropoutKey, layers: int) -> Key[Array, " L"] | None:
    """Returns one dropout key per layer."""
    return None if key is None else jax.random.split(key, layers)


def expand(vector: Float[Array, " D"], like: Float[Array, "*axes"]) -> Float[Array, "*ones D"]:
    """Adds leading axes to a vector until it has as many as `like`: broadcasting is explicit."""
    return vector.reshape((1,) * (like.ndim - 1) + vector.shape)
