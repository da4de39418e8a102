"""Decoder layers that look only back, and the cache that lets them run a step at a time.

Axis letters: see `spectrodiff.models.config`; T is the length of the decoded sequence.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.models.config import ModelConfig
from spectrodiff.models.layers import (
    Attention,
    FeedForward,
    Key,
    KeyValue,
    RMSNorm,
    dropout,
    scan_layers,
    split_key,
)


class CausalDecoderLayer(nnx.Module):
    """Self-attention, cross-attention and feed-forward, each a pre-norm residual block.

    What the self-attention sees is given to the layer, so that it can be all of a known sequence
    as well as what a cache remembers.
    """

    def __init__(self, config: ModelConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        def attention() -> Attention:
            return Attention(
                config.width,
                config.heads,
                config.head_width,
                dropout=config.dropout,
                dtype=dtype,
                rngs=rngs,
            )

        self.self_attention_norm = RMSNorm(config.width, dtype=dtype)
        self.self_attention = attention()
        self.cross_attention_norm = RMSNorm(config.width, dtype=dtype)
        self.cross_attention = attention()
        self.mlp_norm = RMSNorm(config.width, dtype=dtype)
        self.mlp = FeedForward(
            config.width, config.mlp_width, dropout=config.dropout, dtype=dtype, rngs=rngs
        )
        self.dropout = config.dropout

    def own_memory(self, x: jax.Array) -> KeyValue:
        """Keys and values of x [B, T, D] for the layer's self-attention, masked to look back."""
        length = x.shape[1]
        look_back = jnp.tril(jnp.ones((1, length, length), bool))
        return self.self_attention.memory(self.self_attention_norm(x), look_back)

    def __call__(
        self, x: jax.Array, own: KeyValue, cross: KeyValue, *, key: Key = None
    ) -> jax.Array:
        """x [B, T, D] that attends to `own` and then to `cross` -> [B, T, D]."""
        keys = split_key(key, 6)
        attended = self.self_attention(self.self_attention_norm(x), own, key=keys[0])
        x = x + dropout(attended, self.dropout, keys[1], shared_axis=1)
        attended = self.cross_attention(self.cross_attention_norm(x), cross, key=keys[2])
        x = x + dropout(attended, self.dropout, keys[3], shared_axis=1)
        hidden = self.mlp(self.mlp_norm(x), key=keys[4])
        return x + dropout(hidden, self.dropout, keys[5], shared_axis=1)


class Cache(NamedTuple):
    """Self-attention keys and values of the steps taken so far, in room for T of them."""

    key: jax.Array  # [L, B, H, T, K]
    value: jax.Array  # [L, B, H, T, K]

    def write(self, layer: jax.Array, step: jax.Array, memory: KeyValue) -> "Cache":
        """Remembers what one step, [B, H, 1, K], has in one layer."""
        zero = jnp.zeros_like(step)
        place = (layer, zero, zero, step, zero)
        return Cache(
            jax.lax.dynamic_update_slice(self.key, memory.key[None], place),
            jax.lax.dynamic_update_slice(self.value, memory.value[None], place),
        )

    def read(self, layer: jax.Array, step: jax.Array) -> KeyValue:
        """What a step can see of itself and the steps before it in one layer."""
        known = jnp.arange(self.key.shape[3]) <= step
        return KeyValue(self.key[layer], self.value[layer], known[None, None])

    def grown(self, length: int) -> "Cache":
        """The same in room for `length` steps."""
        room = [(0, 0)] * 3 + [(0, length - self.key.shape[3]), (0, 0)]
        return Cache(jnp.pad(self.key, room), jnp.pad(self.value, room))


def empty_cache(config: ModelConfig, batch: int, length: int, dtype: DTypeLike) -> Cache:
    """Room for `length` steps of `batch` sequences in every decoder layer."""
    shape = (config.decoder_layers, batch, config.heads, length, config.head_width)
    return Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def cross_memory(layers: CausalDecoderLayer, values: jax.Array, mask: jax.Array) -> KeyValue:
    """Cross-attention keys and values of an encoding for stacked layers; once per encoding.

    Args:
        layers: `CausalDecoderLayer`s made by `stack`.
        values: [B, S, D].
        mask: bool, broadcasts to [B, T, S].

    Returns:
        Arrays with a leading axis L.
    """
    definition, arrays = nnx.split(layers)
    return jax.vmap(
        lambda arrays: nnx.merge(definition, arrays).cross_attention.memory(values, mask)
    )(nnx.to_pure_dict(arrays))


def decode_step(
    layers: CausalDecoderLayer, x: jax.Array, cross: KeyValue, cache: Cache, step: jax.Array
) -> tuple[jax.Array, Cache]:
    """Runs one step of every sequence through stacked layers.

    Args:
        layers: `CausalDecoderLayer`s made by `stack`.
        x: the embedded step [B, 1, D].
        cross: what `cross_memory` returned.
        cache: what the steps before left.
        step: its number, from 0.

    Returns:
        [B, 1, D], and the cache with this step in it.
    """

    def layer_step(
        layer: CausalDecoderLayer,
        carry: tuple[jax.Array, Cache],
        inputs: tuple[jax.Array, KeyValue],
    ) -> tuple[jax.Array, Cache]:
        (x, cache), (number, cross) = carry, inputs
        cache = cache.write(number, step, layer.own_memory(x))
        return layer(x, cache.read(number, step), cross), cache

    numbers = jnp.arange(cache.key.shape[0], dtype=step.dtype)
    # The cache travels with x, not beside the layers: then only the new step is written.
    return scan_layers(layers, layer_step, (x, cache), (numbers, cross))
