"""The blocks every network here is built from: T5.1.1 style, pre-norm, no biases.

Modules are Flax NNX and are only ever used through `nnx.split` and `nnx.merge`. Parameters are
float32; `dtype` is the type of the matrix products. A `key` argument is consumed; `None` means no
dropout. Axis letters: see `spectrodiff.models.config`; T and S are query and key lengths.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

Key = jax.Array | None
Module = TypeVar("Module", bound=nnx.Module)
Carry = TypeVar("Carry")

MASKED_LOGIT = -1e10


def split_key(key: Key, count: int) -> list[Key]:
    """Splits a dropout key, or hands out `count` times None."""
    return [None] * count if key is None else list(jax.random.split(key, count))


def dropout(x: jax.Array, rate: float, key: Key, shared_axis: int | None = None) -> jax.Array:
    """Zeroes entries with probability `rate`, scales up the rest; one mask along `shared_axis`."""
    if key is None or rate == 0.0:
        return x
    shape = list(x.shape)
    if shared_axis is not None:
        shape[shared_axis] = 1
    keep = jax.random.bernoulli(key, 1.0 - rate, shape)
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros((), x.dtype))


def fan_in_normal(scale: float = 1.0) -> nnx.Initializer:
    """Truncated normal with variance `scale` / fan-in, the T5 initialiser of every dense layer."""
    return nnx.initializers.variance_scaling(scale, "fan_in", "truncated_normal")


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

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., inputs] -> [..., outputs]."""
        return _matmul(x.astype(self.dtype), self.kernel[...].astype(self.dtype))


def _matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [..., inputs] @ kernel [inputs, outputs]; without forward-mode derivatives on a CPU."""
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
    """x / rms(x) times a learnt scale, computed in float32."""

    def __init__(self, width: int, *, dtype: DTypeLike = jnp.float32) -> None:
        self.scale = nnx.Param(jnp.ones(width, jnp.float32))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., D]."""
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
        return (x * _rows(self.scale[...], x)).astype(self.dtype)


class KeyValue(NamedTuple):
    """What a query can attend to; for a stack of layers every array has a leading axis L."""

    key: jax.Array  # [B, H, S, K]
    value: jax.Array  # [B, H, S, K]
    mask: jax.Array  # bool, broadcasts to [B, T, S]


class Attention(nnx.Module):
    """Multi-head attention; its inner width H * K may differ from the model width D.

    The usual factor 1/sqrt(K) on the logits is folded into the initialisation of the query.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        dropout: float = 0.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        inner = heads * head_width
        self.query = Dense(
            width, inner, dtype=dtype, init=fan_in_normal(1.0 / head_width), rngs=rngs
        )
        self.key = Dense(width, inner, dtype=dtype, rngs=rngs)
        self.value = Dense(width, inner, dtype=dtype, rngs=rngs)
        self.out = Dense(inner, width, dtype=dtype, rngs=rngs)
        self.heads, self.head_width, self.dropout = heads, head_width, dropout

    def memory(self, source: jax.Array, mask: jax.Array) -> KeyValue:
        """Keys and values of `source` [B, S, D]; `mask` is bool and broadcasts to [B, T, S]."""
        return KeyValue(self._heads(self.key(source)), self._heads(self.value(source)), mask)

    def __call__(self, x: jax.Array, memory: KeyValue, *, key: Key = None) -> jax.Array:
        """Attends from x [B, T, D] to the memory; [B, T, D]."""
        attended = attend(self._heads(self.query(x)), memory, self.dropout, key)
        batch, _, length, _ = attended.shape
        return self.out(attended.swapaxes(1, 2).reshape(batch, length, -1))

    def _heads(self, x: jax.Array) -> jax.Array:  # [B, T, H*K] -> [B, H, T, K]
        batch, length, _ = x.shape
        return x.reshape(batch, length, self.heads, self.head_width).swapaxes(1, 2)


def attend(query: jax.Array, memory: KeyValue, rate: float = 0.0, key: Key = None) -> jax.Array:
    """softmax(query . key) value, without any factor on the logits.

    Where a query may see nothing at all, the result is the mean of the values, as in T5; a caller
    for whom "nothing" should count as zero has to say so (see `Denoiser`).

    Args:
        query: [B, H, T, K].
        memory: keys, values and mask.
        rate: dropout on the attention probabilities, with one mask for all queries.
        key: dropout key.

    Returns:
        [B, H, T, K] in the type of the query.
    """
    value = memory.value
    if key is not None and rate > 0.0:
        # A mask shared by all queries commutes with the sum over keys, so it can be applied to the
        # values instead of the [T, S] probabilities.
        value = dropout(value, rate, key, shared_axis=3)
    logits = jnp.einsum("bhtk,bhsk->bhts", query, memory.key, preferred_element_type=jnp.float32)
    logits = jnp.where(memory.mask[:, None], logits, MASKED_LOGIT)
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True)))
    # Dividing after the product with the values touches T*K numbers per head instead of T*S.
    total = jnp.einsum(
        "bhts,bhsk->bhtk", weights.astype(value.dtype), value, preferred_element_type=jnp.float32
    )
    return (total / weights.sum(axis=-1, keepdims=True)).astype(query.dtype)


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

    def __call__(self, x: jax.Array, *, key: Key = None) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        hidden = _gated_gelu(self.gate(x), self.up(x))
        return self.down(dropout(hidden, self.dropout, key, shared_axis=1))


# Recomputed in the backward pass: the derivative of gelu would keep six arrays of the block's size,
# a quarter of the memory of a training step, and save no time.
@functools.partial(jax.checkpoint, prevent_cse=False)
def _gated_gelu(gate: jax.Array, up: jax.Array) -> jax.Array:
    """gelu(gate) * up, with the tanh approximation of T5.1.1."""
    return nnx.gelu(gate, approximate=True) * up


def film(x: jax.Array, scale_and_shift: jax.Array) -> jax.Array:
    """Feature-wise linear modulation: x * (1 + scale) + shift.

    Args:
        x: [B, T, D].
        scale_and_shift: [B, 2 D], or [1, 2 D] for one time shared by the whole batch.
    """
    scale, shift = jnp.split(scale_and_shift[:, None].astype(x.dtype), 2, axis=-1)
    return x * (1.0 + scale) + shift


class FixedTable(nnx.Variable):
    """An array that is stored with the weights but never trained."""


def random_phase_positions(length: int, width: int, rngs: nnx.Rngs) -> FixedTable:
    """Position rows [length, width] whose columns mean nothing by their order.

    Sinusoids with timescales from 1 to 10,000, each band with a random phase of its own in the sine
    and in the cosine half, columns permuted. They let tables of different encoders be told apart.
    """
    phases = jax.random.uniform(rngs.params(), (2, width // 2), maxval=2 * math.pi)
    table = sinusoid_positions(length, width, phases)
    return FixedTable(jax.random.permutation(rngs.params(), table, axis=1))


def sinusoid_positions(length: int, width: int, phases: jax.Array | None = None) -> jax.Array:
    """Position rows [length, width]: sines, then cosines, timescales geometric from 1 to 10,000."""
    half = width // 2
    rates = jnp.exp(-jnp.arange(half) * (math.log(10_000.0) / max(half - 1, 1)))
    angles = jnp.arange(length)[:, None] * rates[None]
    sines, cosines = (0.0, 0.0) if phases is None else (phases[0][None], phases[1][None])
    return jnp.concatenate([jnp.sin(angles + sines), jnp.cos(angles + cosines)], axis=1)


def stack(make: Callable[[nnx.Rngs], Module], layers: int, rngs: nnx.Rngs) -> Module:
    """`layers` independently initialised modules as one, whose arrays have a leading axis L."""
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
        layers: a module made by `stack`.
        body: one layer's work.
        carry: what goes from layer to layer, usually x [B, T, D].
        per_layer: a pytree of arrays with a leading axis L.
        remat: recompute a layer's activations in the backward pass instead of keeping them.
    """
    definition, state = nnx.split(layers)
    # Plain dicts: flattening an nnx.State costs Python time for every variable.
    stacked = nnx.to_pure_dict(state)

    def step(carry: Carry, layer: tuple[Any, Any]) -> tuple[Carry, None]:
        arrays, inputs = layer
        return body(nnx.merge(definition, arrays), carry, inputs), None

    if remat:
        # Inside a scan nothing can be merged across the checkpoint boundary anyway.
        step = jax.checkpoint(step, prevent_cse=False)
    return jax.lax.scan(step, carry, (stacked, per_layer))[0]


def layer_keys(key: Key, layers: int) -> Key:
    """One dropout key a layer as an array [L], or None."""
    return None if key is None else jax.random.split(key, layers)


def _rows(vector: jax.Array, like: jax.Array) -> jax.Array:
    """Gives a vector as many axes as `like` has, so that broadcasting is explicit."""
    return vector.reshape((1,) * (like.ndim - 1) + vector.shape)
