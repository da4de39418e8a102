"""Causal decoder layers, and the cache for running them one step at a time.

Axis letters: see `spectrodiff.models.config`; T is the length of the decoded sequence.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from spectrodiff.models.attention import Attention, KeyValue
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.layers import (
    DropoutKey,
    FeedForward,
    RMSNorm,
    dropout,
    map_layers,
    scan_layers,
    split_key,
)


class CausalDecoderLayer(nnx.Module):
    """Self-attention, cross-attention and feed-forward, each a pre-norm residual block."""

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

    def own_memory(self, x: Float[Array, "B T D"]) -> KeyValue:
        """Returns keys and values of x for the layer's self-attention."""
        return self.self_attention.memory(self.self_attention_norm(x))

    def __call__(
        self,
        x: Float[Array, "B T D"],
        cross: KeyValue,
        *,
        own: KeyValue | None = None,
        key: DropoutKey = None,
    ) -> Float[Array, "B T D"]:
        """Applies the layer.

        Args:
            x: a whole sequence, or one step of it.
            cross: keys and values of the encoding.
            own: keys and values of the steps up to x, from a cache; None if x is a whole sequence,
                of which each position attends to those up to it.
            key: dropout key.
        """
        keys = split_key(key, 6)
        normed = self.self_attention_norm(x)
        memory = self.self_attention.memory(normed) if own is None else own
        attended = self.self_attention(normed, memory, causal=own is None, key=keys[0])
        x = x + dropout(attended, self.dropout, keys[1], shared_axis=1)
        attended = self.cross_attention(self.cross_attention_norm(x), cross, key=keys[2])
        x = x + dropout(attended, self.dropout, keys[3], shared_axis=1)
        hidden = self.mlp(self.mlp_norm(x), key=keys[4])
        return x + dropout(hidden, self.dropout, keys[5], shared_axis=1)


class Cache(NamedTuple):
    """Self-attention keys and values of the steps taken so far, with capacity for T steps."""

    key: Float[Array, "L B H T K"]
    value: Float[Array, "L B H T K"]

    def write(self, layer: Int[Array, ""], step: Int[Array, ""], memory: KeyValue) -> "Cache":
        """Returns the cache with keys and values [B, H, 1, K] of one step in one layer."""
        zero = jnp.zeros_like(step)
        place = (layer, zero, zero, step, zero)
        return Cache(
            jax.lax.dynamic_update_slice(self.key, memory.key[None], place),
            jax.lax.dynamic_update_slice(self.value, memory.value[None], place),
        )

    def read(self, layer: Int[Array, ""], step: Int[Array, ""]) -> KeyValue:
        """Returns the keys and values of one layer; steps up to `step` exist."""
        return KeyValue(self.key[layer], self.value[layer], step[None] + 1)

    def grown(self, length: int) -> "Cache":
        """Returns the cache with capacity for `length` steps."""
        padding = [(0, 0)] * 3 + [(0, length - self.key.shape[3]), (0, 0)]
        return Cache(jnp.pad(self.key, padding), jnp.pad(self.value, padding))


def empty_cache(config: ModelConfig, batch: int, length: int, dtype: DTypeLike) -> Cache:
    """Returns a cache for `length` steps of `batch` sequences in every decoder layer."""
    shape = (config.decoder_layers, batch, config.heads, length, config.head_width)
    return Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def cross_memory(
    layers: CausalDecoderLayer, values: Float[Array, "B S D"], lengths: Int[Array, " B"] | None
) -> KeyValue:
    """Computes the cross-attention keys and values of an encoding for stacked layers.

    Args:
        layers: `CausalDecoderLayer`s made by `stack`.
        values: encoding.
        lengths: how many entries of the encoding exist; None for all.

    Returns:
        Arrays with a leading axis L.
    """
    return map_layers(layers, lambda layer: layer.cross_attention.memory(values, lengths))


def decode_step(
    layers: CausalDecoderLayer,
    x: Float[Array, "B 1 D"],
    cross: KeyValue,
    cache: Cache,
    step: Int[Array, ""],
) -> tuple[Float[Array, "B 1 D"], Cache]:
    """Runs one step of every sequence through stacked layers.

    Args:
        layers: `CausalDecoderLayer`s made by `stack`.
        x: embedded step.
        cross: result of `cross_memory`.
        cache: keys and values of the steps before.
        step: number of the step, from 0.

    Returns:
        The output of the last layer, and the cache with this step in it.
    """

    def layer_step(
        layer: CausalDecoderLayer,
        carry: tuple[jax.Array, Cache],
        inputs: tuple[jax.Array, KeyValue],
    ) -> tuple[jax.Array, Cache]:
        (x, cache), (number, cross) = carry, inputs
        cache = cache.write(number, step, layer.own_memory(x))
        return layer(x, cross, own=cache.read(number, step)), cache

    numbers = jnp.arange(cache.key.shape[0], dtype=step.dtype)
    # The cache is part of the carry, not of the scanned inputs: only the new step is written.
    return scan_layers(layers, layer_step, (x, cache), (numbers, cross))
