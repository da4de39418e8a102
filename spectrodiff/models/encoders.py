"""Note encoder and context encoder."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Int32

from spectrodiff.models.attention import Attention
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.layers import (
    Dense,
    DropoutKey,
    FeedForward,
    RMSNorm,
    dropout,
    layer_keys,
    scan_layers,
    split_key,
    stack,
)
from spectrodiff.models.positions import Positioned


class Encoding(NamedTuple):
    """An encoded sequence; of each example the first entries exist, as many as its length."""

    values: Float[Array, "B S D"]
    lengths: Int32[Array, " B"]


def join(encodings: list[Encoding]) -> Encoding:
    """Joins sequences; entries that exist come first, in their order, those of padding last.

    Attention over the result is that over all entries of the sequences that exist, since keys have
    no order.
    """
    if len(encodings) == 1:
        return encodings[0]
    values = jnp.concatenate([encoding.values for encoding in encodings], axis=1)
    exists = jnp.concatenate(
        [
            jnp.arange(encoding.values.shape[1])[None] < encoding.lengths[:, None]
            for encoding in encodings
        ],
        axis=1,
    )
    order = jnp.argsort(~exists, axis=1, stable=True)

    def sort(values: Float[Array, "S D"], order: Int32[Array, " S"]) -> Float[Array, "S D"]:
        # Saying that indices are unique lets the derivative write rows instead of adding to them.
        return values.at[order].get(unique_indices=True, mode="promise_in_bounds")

    return Encoding(jax.vmap(sort)(values, order), exists.sum(axis=1, dtype=jnp.int32))


class EncoderLayer(nnx.Module):
    """Self-attention and feed-forward, each a pre-norm residual block."""

    def __init__(self, config: ModelConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(config.width, dtype=dtype)
        self.attention = Attention(
            config.width,
            config.heads,
            config.head_width,
            dropout=config.dropout,
            dtype=dtype,
            rngs=rngs,
        )
        self.mlp_norm = RMSNorm(config.width, dtype=dtype)
        self.mlp = FeedForward(
            config.width, config.mlp_width, dropout=config.dropout, dtype=dtype, rngs=rngs
        )
        self.dropout = config.dropout

    def __call__(
        self,
        x: Float[Array, "B S D"],
        lengths: Int[Array, " B"] | None,
        *,
        key: DropoutKey = None,
    ) -> Float[Array, "B S D"]:
        """Applies the layer; entries beyond the length of their example are not attended to."""
        keys = split_key(key, 4)
        normed = self.attention_norm(x)
        attended = self.attention(normed, self.attention.memory(normed, lengths), key=keys[0])
        x = x + dropout(attended, self.dropout, keys[1], shared_axis=1)
        hidden = self.mlp(self.mlp_norm(x), key=keys[2])
        return x + dropout(hidden, self.dropout, keys[3], shared_axis=1)


class EncoderStack(nnx.Module):
    """Encoder layers between an embedding, which subclasses define, and a final norm."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        self.layers = stack(
            lambda rngs: EncoderLayer(config, dtype=dtype, rngs=rngs), config.encoder_layers, rngs
        )
        self.norm = RMSNorm(config.width, dtype=dtype)
        self.dropout, self.dtype, self.remat = config.dropout, dtype, remat
        self.depth = config.encoder_layers

    def encode(
        self, embedded: Float[Array, "B S D"], lengths: Int[Array, " B"] | None, key: DropoutKey
    ) -> Float[Array, "B S D"]:
        """Applies layers and norm; entries beyond the length of their example are padding.

        Args:
            embedded: sequences.
            lengths: how many entries exist; None for all.
            key: dropout key.
        """
        keys = split_key(key, 3)
        x = dropout(embedded, self.dropout, keys[0], shared_axis=1).astype(self.dtype)
        x = scan_layers(
            self.layers,
            lambda layer, x, key: layer(x, lengths, key=key),
            x,
            layer_keys(keys[1], self.depth),
            remat=self.remat,
        )
        return dropout(self.norm(x), self.dropout, keys[2])


class NoteEncoder(EncoderStack, Positioned):
    """Encodes note tokens; padding (token 0) is neither attended to nor encoded."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, dtype=dtype, remat=remat, rngs=rngs)
        embedding = jax.random.normal(rngs.params(), (config.vocabulary_size, config.width))
        self.embedding = nnx.Param(embedding)
        self.add_positions(config.positions, config.note_tokens, config.width, rngs)

    def __call__(self, tokens: Int[Array, "B n"], *, key: DropoutKey = None) -> Encoding:
        """Encodes n <= N tokens, padding last; more padding does not change the result."""
        lengths = (tokens > 0).sum(axis=1, dtype=jnp.int32)
        embedded = self.embedding[...][tokens] + self.position_rows[None, : tokens.shape[1]]
        return Encoding(self.encode(embedded, lengths, key), lengths)


class ContextEncoder(EncoderStack, Positioned):
    """Encodes the context, the features before the segment."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, dtype=dtype, remat=remat, rngs=rngs)
        self.input = Dense(config.mel_bins, config.width, dtype=dtype, rngs=rngs)
        self.add_positions(config.positions, config.context_frames, config.width, rngs)
        self.from_end = config.context_positions == "from_end"

    def __call__(
        self, context: Float[Array, "B C M"], mask: Bool[Array, "B C"], *, key: DropoutKey = None
    ) -> Encoding:
        """Encodes scaled features whose valid frames come first.

        Counted from the end, the newest valid frame always has the same row of the position table;
        counted from the start, the oldest one has.
        """
        table = self.position_rows
        frames = table.shape[0]
        valid = jnp.sum(mask, axis=1, dtype=jnp.int32)
        rows = jnp.arange(frames)[None]
        if self.from_end:
            rows = (rows - valid[:, None]) % frames
        embedded = self.input(context) + table[rows].astype(self.dtype)
        return Encoding(self.encode(embedded, valid, key), valid)
