"""Multi-head attention that keeps no logits [T, S] for the backward pass.

Axis letters: see `spectrodiff.models.config`; T and S are query and key lengths.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int

from spectrodiff.models.layers import Dense, DropoutKey, dropout, fan_in_normal

MASKED_LOGIT = -1e10

# Rows of logits that exist at a time when recomputed. A CPU computes 2048 x 2048 logits 2.5 times
# faster in blocks of 256 rows, which stay in its cache.
MAX_ROWS = 256

Implementation = Literal["fused", "recomputed", "plain"]


class KeyValue(NamedTuple):
    """Attention keys and values; for a stack of layers, every array has a leading axis L.

    Of each example the first entries exist, as many as its length, and only they are attended to.
    """

    key: Float[Array, "B H S K"]
    value: Float[Array, "B H S V"]
    lengths: Int[Array, "#B"] | None = None  # None: all S entries exist


class Attention(nnx.Module):
    """Multi-head attention; its inner width H * K may differ from the model width D.

    The usual factor 1/sqrt(K) on the logits is folded into the initialization of the query.
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
        inner, init = heads * head_width, fan_in_normal(truncated=False)
        query_init = fan_in_normal(1.0 / head_width, truncated=False)
        self.query = Dense(width, inner, dtype=dtype, init=query_init, rngs=rngs)
        self.key = Dense(width, inner, dtype=dtype, init=init, rngs=rngs)
        self.value = Dense(width, inner, dtype=dtype, init=init, rngs=rngs)
        self.out = Dense(inner, width, dtype=dtype, init=init, rngs=rngs)
        self.heads, self.head_width, self.dropout = heads, head_width, dropout

    def memory(
        self, source: Float[Array, "B S D"], lengths: Int[Array, "#B"] | None = None
    ) -> KeyValue:
        """Returns keys and values of `source`, of which the first `lengths` entries exist."""
        return KeyValue(self._heads(self.key(source)), self._heads(self.value(source)), lengths)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        memory: KeyValue,
        *,
        causal: bool = False,
        key: DropoutKey = None,
    ) -> Float[Array, "B T D"]:
        """Attends from x to the memory; see `attend`."""
        query = self._heads(self.query(x))
        attended = attend(query, memory, causal=causal, rate=self.dropout, key=key)
        batch, _, length, _ = attended.shape
        return self.out(attended.swapaxes(1, 2).reshape(batch, length, -1))

    def _heads(self, x: Float[Array, "B T inner"]) -> Float[Array, "B H T K"]:
        batch, length, _ = x.shape
        return x.reshape(batch, length, self.heads, self.head_width).swapaxes(1, 2)


def attend(
    query: Float[Array, "B H T K"],
    memory: KeyValue,
    *,
    causal: bool = False,
    rate: float = 0.0,
    key: DropoutKey = None,
) -> Float[Array, "B H T V"]:
    """Computes softmax(query . key) value, without a factor on the logits.

    Args:
        query: queries.
        memory: keys and values, and how many of them exist.
        causal: attend from position t to positions up to t only.
        rate: dropout rate of the attention probabilities, with one mask for all queries.
        key: dropout key.

    Returns:
        Attended values in the type of the query; zero for examples without any key.
    """
    keys, value, lengths = memory
    if key is not None and rate > 0.0:
        # A mask shared by all queries commutes with the sum over keys, so it can be applied to the
        # values instead of the [T, S] probabilities, which are never there as a whole.
        value = dropout(value, rate, key, shared_axis=3)
    function = _FUNCTIONS[implementation(query, keys)]
    if lengths is None:
        return function(query, keys, value, None, causal)
    # A softmax over nothing is not defined: examples without keys attend to one that does not
    # exist, and what comes of it is dropped.
    attended = function(query, keys, value, jnp.maximum(lengths, 1), causal)
    exists = (lengths > 0)[:, None, None, None]
    return jnp.where(exists, attended, jnp.zeros((), attended.dtype))


def implementation(query: Float[Array, "B H T K"], keys: Float[Array, "B H S K"]) -> Implementation:
    """Returns how attention of these sizes is computed on JAX's default devices.

    - "fused": by cuDNN's kernel, which works in 16 bits and never stores logits.
    - "recomputed": in blocks of queries, one after another, whose logits are computed again in the
      backward pass.
    - "plain": with all logits at once, which are kept for the backward pass.
    """
    queries, head_width = query.shape[2:]
    if queries == 1:
        return "plain"  # a step of cached decoding, whose logits are few
    suits_kernel = query.dtype.itemsize == 2 and head_width % 8 == 0 and head_width <= 128
    if suits_kernel and has_fused_kernel():
        return "fused"
    # On accelerators memory is scarce. On a CPU, forward and backward pass of 256 queries and 704
    # keys take 1.2 times longer if logits are recomputed; of 256 and 2304 it is even; of 1024 and
    # 1024, whose logits do not fit into its cache, they take 0.6 times as long.
    small = queries * keys.shape[2] < 2**19
    return "plain" if small and jax.default_backend() == "cpu" else "recomputed"


@functools.cache
def has_fused_kernel() -> bool:
    """True if the default device is an NVIDIA GPU that runs cuDNN's attention: Ampere or newer."""
    device = jax.devices()[0]
    capability = str(getattr(device, "compute_capability", ""))  # such as 9.0; AMD: gfx942
    major = capability.partition(".")[0]
    return device.platform == "gpu" and major.isdecimal() and int(major) >= 8


def _fused(
    query: jax.Array, keys: jax.Array, value: jax.Array, lengths: jax.Array | None, causal: bool
) -> jax.Array:
    attended = jax.nn.dot_product_attention(
        *(array.swapaxes(1, 2) for array in (query, keys, value)),
        scale=1.0,
        is_causal=causal,
        key_value_seq_lengths=(
            None if lengths is None else jnp.broadcast_to(lengths, len(query)).astype(jnp.int32)
        ),
        implementation="cudnn",
    )
    return attended.swapaxes(1, 2)


def _plain(
    query: jax.Array, keys: jax.Array, value: jax.Array, lengths: jax.Array | None, causal: bool
) -> jax.Array:
    return _attend_rows(query, keys, value, lengths, 0 if causal else None)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _recomputed(
    query: jax.Array, keys: jax.Array, value: jax.Array, lengths: jax.Array | None, causal: bool
) -> jax.Array:
    return _recomputed_forward(query, keys, value, lengths, causal)[0]


class _Kept(NamedTuple):
    """Arrays that the forward pass keeps for the backward pass."""

    query: Float[Array, "B H T K"]
    keys: Float[Array, "B H S K"]
    value: Float[Array, "B H S V"]
    lengths: Int[Array, "#B"] | None
    attended: Float[Array, "B H T V"]
    log_weight: Float32[Array, "B H T 1"]


def _recomputed_forward(
    query: jax.Array, keys: jax.Array, value: jax.Array, lengths: jax.Array | None, causal: bool
) -> tuple[jax.Array, _Kept]:
    def attend_block(_: None, block: tuple[jax.Array, ...]) -> tuple[None, Any]:
        first, query = block
        return None, _attend_rows(query, keys, value, lengths, first if causal else None)

    _, blocks = jax.lax.scan(attend_block, None, _split(query))
    attended, log_weight = (_join(part, query.shape[2]) for part in blocks)
    return attended, _Kept(query, keys, value, lengths, attended, log_weight)


def _recomputed_backward(
    causal: bool, kept: _Kept, grad: Float[Array, "B H T V"]
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    keys, value = kept.keys, kept.value

    def add_block(
        total: tuple[jax.Array, ...], block: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        first, query, attended, log_weight, grad = block
        logits = _logits(query, keys, kept.lengths, first if causal else None)
        weights = jnp.exp(logits - log_weight)
        grad_weights = _product("bhtk,bhsk->bhts", grad, value)
        # The sum over keys of weights * grad_weights, from what is at hand.
        mean = (attended.astype(jnp.float32) * grad).sum(axis=-1, keepdims=True)
        grad_logits = (weights * (grad_weights - mean)).astype(query.dtype)
        # Sums over queries as [K, S]: XLA's CPU compiler transposes the left factor, and it takes
        # 0.7 times as long if that is the small one.
        grad_keys, grad_value = total
        grad_keys += _product("bhtk,bhts->bhks", query, grad_logits)
        grad_value += _product("bhtk,bhts->bhks", grad, weights.astype(grad.dtype))
        return (grad_keys, grad_value), _product("bhts,bhsk->bhtk", grad_logits, keys)

    nothing = tuple(jnp.zeros_like(array, jnp.float32).swapaxes(2, 3) for array in (keys, value))
    blocks = _split(kept.query, kept.attended, kept.log_weight, grad)
    (grad_keys, grad_value), grad_query = jax.lax.scan(add_block, nothing, blocks)
    return (
        _join(grad_query, grad.shape[2]).astype(grad.dtype),
        grad_keys.swapaxes(2, 3).astype(keys.dtype),
        grad_value.swapaxes(2, 3).astype(value.dtype),
        None,
    )


_recomputed.defvjp(_recomputed_forward, _recomputed_backward)


def _attend_rows(
    query: Float[Array, "B H R K"],
    keys: Float[Array, "B H S K"],
    value: Float[Array, "B H S V"],
    lengths: Int[Array, "#B"] | None,
    first: jax.Array | int | None,
) -> tuple[Float[Array, "B H R V"], Float32[Array, "B H R 1"]]:
    """Attends from rows at positions `first` and following, or None if not causal.

    Returns attended values, and the logarithm of each row's sum of exponentiated logits.
    """
    logits = _logits(query, keys, lengths, first)
    highest = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    weights = jnp.exp(logits - highest)
    # Dividing after the product with the values touches R*K numbers per head instead of R*S.
    total = _product("bhts,bhsk->bhtk", weights.astype(value.dtype), value)
    weight = weights.sum(axis=-1, keepdims=True)
    return (total / weight).astype(query.dtype), highest + jnp.log(weight)


def _logits(
    query: jax.Array, keys: jax.Array, lengths: jax.Array | None, first: jax.Array | int | None
) -> Float32[Array, "B H R S"]:
    logits = _product("bhtk,bhsk->bhts", query, keys)
    positions = jnp.arange(keys.shape[2])
    if lengths is not None:
        exists = positions[None] < lengths[:, None]
        logits = jnp.where(exists[:, None, None], logits, MASKED_LOGIT)
    if first is not None:
        rows = first + jnp.arange(query.shape[2])
        known = positions[None] <= rows[:, None]
        logits = jnp.where(known[None, None], logits, MASKED_LOGIT)
    return logits


def _split(*arrays: Float[Array, "B H T _"]) -> tuple[jax.Array, ...]:
    """Splits arrays into blocks of rows, padded with zeros; returns their first positions first."""
    length = arrays[0].shape[2]
    count = -(-length // MAX_ROWS)
    rows = -(-length // (8 * count)) * 8  # equal blocks, in whole vectors
    padding = [(0, 0), (0, 0), (0, count * rows - length), (0, 0)]
    blocks = (
        jnp.pad(array, padding).reshape(*array.shape[:2], count, rows, -1) for array in arrays
    )
    return jnp.arange(count) * rows, *(jnp.moveaxis(block, 2, 0) for block in blocks)


def _join(blocks: Float[Array, "n B H R _"], length: int) -> Float[Array, "B H T _"]:
    """Undoes `_split`."""
    count, batch, heads, rows, width = blocks.shape
    return jnp.moveaxis(blocks, 0, 2).reshape(batch, heads, count * rows, width)[:, :, :length]


_product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)

_FUNCTIONS: dict[Implementation, Callable[..., jax.Array]] = {
    "fused": _fused,
    "recomputed": _recomputed,
    "plain": _plain,
}
