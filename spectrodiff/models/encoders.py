"""Note encoder and context encoder."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from spectrodiff.models.config import ModelConfig
from spectrodiff.models.layers import (
    Attention,
    Dense,
    DropoutKey,
    FeedForward,
    RMSNorm,
    dropout,
    layer_keys,
    random_phase_positions,
    scan_layers,
    split_key,
    stack,
)


class Encoding(NamedTuple):
    """An encoded sequence; the mask is true for entries that exist."""

    values: Float[Array, "B S D"]
    mask: Bool[Array, "B S"]


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
        self, x: Float[Array, "B S D"], mask: Bool[Array, "#B #S S"], *, key: DropoutKey = None
    ) -> Float[Array, "B S D"]:
        """Applies the layer; entries outside the mask are not attended to."""
        keys = split_key(key, 4)
        normed = self.attention_norm(x)
        attended = self.attention(normed, self.attention.memory(normed, mask), key=keys[0])
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
        self, embedded: Float[Array, "B S D"], mask: Bool[Array, "#B #S S"], key: DropoutKey
    ) -> Float[Array, "B S D"]:
        """Applies layers and norm; entries outside the mask are not attended to."""
        keys = split_key(key, 3)
        x = dropout(embedded, self.dropout, keys[0], shared_axis=1).astype(self.dtype)
        x = scan_layers(
            self.layers,
            lambda layer, x, key: layer(x, mask, key=key),
            x,
            layer_keys(keys[1], self.depth),
            remat=self.remat,
        )
        return dropout(self.norm(x), self.dropout, keys[2])


class NoteEncoder(EncoderStack):
    """Encodes note tokens; padding (token 0) is neither attended to nor encoded."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, dtype=dtype, remat=remat, rngs=rngs)
        embedding = jax.random.normal(rngs.params(), (config.vocabulary_size, config.width))
        self.embedding = nnx.Param(embedding)
        self.positions = random_phase_positions(config.note_tokens, config.width, rngs)

    def __call__(self, tokens: Int[Array, "B n"], *, key: DropoutKey = None) -> Encoding:
        """Encodes n <= N tokens; more padding does not change the result."""
        mask = tokens > 0
        embedded = self.embedding[...][tokens] + self.positions[...][None, : tokens.shape[1]]
        return Encoding(self.encode(embedded, mask[:, None], key), mask)


class ContextEncoder(EncoderStack):
    """Encodes the context, the features before the segment."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, dtype=dtype, remat=remat, rngs=rngs)
        self.input = Dense(config.mel_bins, config.width, dtype=dtype, rngs=rngs)
        self.positions = random_phase_positions(config.context_frames, config.width, rngs)

    def __call__(
        self, context: Float[Array, "B C M"], mask: Bool[Array, "B C"], *, key: DropoutKey = None
    ) -> Encoding:
        """Encodes scaled features whose valid frames come first.

        Positions are counted back from the newest valid frame, which therefore always has the same
        row of the table.
        """
        frames = self.positions[...].shape[0]
        valid = jnp.sum(mask, axis=1, dtype=jnp.int32)
        rows = (jnp.arange(frames)[None] - valid[:, None]) % frames
        embedded = self.input(context) + self.positions[...][rows].astype(self.dtype)
        return Encoding(self.encode(embedded, mask[:, None], key), mask)
