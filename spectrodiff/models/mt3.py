"""MT3, the transcription network (Gardner et al., ICLR 2022, arXiv:2111.03017); inference only.

An encoder over log-mel frames, made of the same blocks as the synthesizer's, and a causal decoder
over the tokens of `spectrodiff.music.vocabulary`.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int, Int32

from spectrodiff.audio.features import TRANSCRIPTION
from spectrodiff.core.constants import SEGMENT_FRAMES
from spectrodiff.models.attention import KeyValue
from spectrodiff.models.causal import (
    Cache,
    CausalDecoderLayer,
    cross_memory,
    decode_step,
    empty_cache,
)
from spectrodiff.models.config import SIZES, ModelConfig
from spectrodiff.models.encoders import EncoderStack
from spectrodiff.models.layers import (
    Dense,
    RMSNorm,
    scan_layers,
    stack,
)
from spectrodiff.models.positions import sinusoid_positions
from spectrodiff.music.vocabulary import END_ID, PADDING_ID

MAX_TOKENS = 1024  # per segment

MT3 = dataclasses.replace(
    SIZES["small"],
    mel_bins=TRANSCRIPTION.num_mels,
    target_frames=SEGMENT_FRAMES,
    note_tokens=MAX_TOKENS,
    context_frames=0,
)
"""Sizes of the published model."""

# Initial capacity of the cache; it grows while any row continues. Attention reads the whole
# capacity, and most segments have few tokens.
FIRST_CAPACITY = 128


class FrameEncoder(EncoderStack):
    """Encodes log-mel frames; self-attention includes padding, as in the released code."""

    def __init__(self, config: ModelConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        super().__init__(config, dtype=dtype, remat=False, rngs=rngs)
        self.input = Dense(config.mel_bins, config.width, dtype=dtype, rngs=rngs)

    def __call__(self, log_mel: Float[Array, "B F M"]) -> Float[Array, "B F D"]:
        """Encodes unscaled log-mel."""
        embedded = self.input(log_mel)
        _, frames, width = embedded.shape
        positions = sinusoid_positions(frames, width)
        return self.encode(embedded + positions[None].astype(embedded.dtype), None, None)


class TokenDecoder(nnx.Module):
    """Predicts the next token from the tokens before it and an encoding."""

    def __init__(self, config: ModelConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        embedding = jax.random.normal(rngs.params(), (config.vocabulary_size, config.width))
        self.embedding = nnx.Param(embedding)
        self.layers = stack(
            lambda rngs: CausalDecoderLayer(config, dtype=dtype, rngs=rngs),
            config.decoder_layers,
            rngs,
        )
        self.norm = RMSNorm(config.width)
        self.output = Dense(config.width, config.vocabulary_size, rngs=rngs)
        self.config, self.dtype = config, dtype

    def memory(self, encoding: Float[Array, "B F D"]) -> KeyValue:
        """Computes every layer's cross-attention keys and values, with a leading axis L."""
        return cross_memory(self.layers, encoding, None)

    def __call__(self, tokens: Int[Array, "B T"], cross: KeyValue) -> Float32[Array, "B T V"]:
        """Computes the logits of the token after each of the given tokens."""
        positions = sinusoid_positions(tokens.shape[1], self.config.width)
        x = (self.embedding[...][tokens] + positions[None]).astype(self.dtype)
        x = scan_layers(self.layers, lambda layer, x, cross: layer(x, cross), x, cross)
        return self.output(self.norm(x))

    def step(
        self, tokens: Int[Array, " B"], cross: KeyValue, cache: Cache, step: Int[Array, ""]
    ) -> tuple[Float32[Array, "B V"], Cache]:
        """Computes the logits of the token after the given one; the cache holds those before."""
        positions = sinusoid_positions(self.config.note_tokens, self.config.width)
        x = (self.embedding[...][tokens] + positions[step][None]).astype(self.dtype)
        x, cache = decode_step(self.layers, x[:, None], cross, cache, step)
        return self.output(self.norm(x))[:, 0], cache


class Mt3(nnx.Module):
    """Transcription network: frame encoder and token decoder.

    Args:
        config: sizes; `target_frames` is the number of input frames, `note_tokens` that of output
            tokens.
        dtype: type of the matrix products; parameters and logits stay float32.
        rngs: random streams; `params` is used.
    """

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        self.encoder = FrameEncoder(config, dtype=dtype, rngs=rngs)
        self.decoder = TokenDecoder(config, dtype=dtype, rngs=rngs)

    def __call__(
        self, log_mel: Float[Array, "B F M"], tokens: Int[Array, "B T"]
    ) -> Float32[Array, "B T V"]:
        """Computes the logits of the token after each of the given tokens.

        Args:
            log_mel: unscaled features.
            tokens: `PADDING_ID`, then the tokens of the segment without padding.
        """
        return self.decoder(tokens, self.decoder.memory(self.encoder(log_mel)))


class _Decoding(NamedTuple):
    """State of greedy decoding."""

    tokens: Int32[Array, "B T"]  # padding after the end of a row
    ended: Bool[Array, " B"]
    cache: Cache
    step: Int32[Array, ""]


def decode_greedily(
    model: Mt3, log_mel: Float[Array, "B F M"], max_tokens: int
) -> Int32[Array, "B {max_tokens}"]:
    """Decodes the most likely token at every step until all rows end; call it under `jax.jit`.

    Args:
        model: network.
        log_mel: unscaled features.
        max_tokens: maximum length of a row; static.

    Returns:
        Tokens, with padding after a row's end-of-sequence id.
    """
    decoder, batch = model.decoder, log_mel.shape[0]
    cross = decoder.memory(model.encoder(log_mel))

    def continues(state: _Decoding) -> jax.Array:
        return ~state.ended.all() & (state.step < state.cache.key.shape[3])

    def decode_one(state: _Decoding) -> _Decoding:
        tokens, ended, cache, step = state
        last = jnp.where(step == 0, PADDING_ID, tokens[:, jnp.maximum(step - 1, 0)])
        logits, cache = decoder.step(last, cross, cache, step)
        chosen = jnp.where(ended, PADDING_ID, logits.argmax(axis=-1).astype(jnp.int32))
        ended |= chosen == END_ID
        return _Decoding(tokens.at[:, step].set(chosen), ended, cache, step + 1)

    def finish(state: _Decoding) -> jax.Array:
        state = jax.lax.while_loop(continues, decode_one, state)
        capacity = state.cache.key.shape[3]
        if capacity == max_tokens:
            return state.tokens
        larger = min(2 * capacity, max_tokens)
        return jax.lax.cond(
            state.ended.all(),
            lambda state: state.tokens,
            lambda state: finish(state._replace(cache=state.cache.grown(larger))),
            state,
        )

    return finish(
        _Decoding(
            jnp.full((batch, max_tokens), PADDING_ID, jnp.int32),
            jnp.zeros(batch, bool),
            empty_cache(decoder.config, batch, min(FIRST_CAPACITY, max_tokens), decoder.dtype),
            jnp.int32(0),
        )
    )
