"""MT3, the network that transcribes audio (Gardner et al., ICLR 2022, arXiv:2111.03017).

An encoder of the same blocks as the synthesiser's over log-mel frames, and a causal decoder over
the tokens of `spectrodiff.music.vocabulary`. It is only ever run, not trained, here.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.audio.features import TRANSCRIPTION
from spectrodiff.core.constants import SEGMENT_FRAMES
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
    KeyValue,
    RMSNorm,
    scan_layers,
    sinusoid_positions,
    stack,
)
from spectrodiff.music.vocabulary import END_ID, PADDING_ID

MAX_TOKENS = 1024  # of a segment

MT3 = dataclasses.replace(
    SIZES["small"],
    mel_bins=TRANSCRIPTION.num_mels,
    target_frames=SEGMENT_FRAMES,
    note_tokens=MAX_TOKENS,
    context_frames=0,
)
"""The sizes of the published model."""

# The cache has room for this many tokens at first and grows while any row goes on: attention reads
# all the room there is, and most segments have few tokens.
FIRST_ROOM = 128


class FrameEncoder(EncoderStack):
    """Encodes log-mel frames; all of them are attended to, padding too, as in the released code."""

    def __init__(self, config: ModelConfig, *, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        super().__init__(config, dtype=dtype, remat=False, rngs=rngs)
        self.input = Dense(config.mel_bins, config.width, dtype=dtype, rngs=rngs)

    def __call__(self, log_mel: jax.Array) -> jax.Array:
        """Unscaled log-mel [B, F, M] -> [B, F, D]."""
        embedded = self.input(log_mel)
        _, frames, width = embedded.shape
        positions = sinusoid_positions(frames, width)
        everything = jnp.ones((1, 1, frames), bool)
        return self.encode(embedded + positions[None].astype(embedded.dtype), everything, None)


class TokenDecoder(nnx.Module):
    """Predicts the next token from those before it and an encoding."""

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

    def memory(self, encoding: jax.Array) -> KeyValue:
        """What every layer's cross-attention sees of an encoding [B, F, D]; once a segment."""
        return cross_memory(self.layers, encoding, jnp.ones((1, 1, encoding.shape[1]), bool))

    def __call__(self, tokens: jax.Array, cross: KeyValue) -> jax.Array:
        """Logits float32 [B, T, V] of the token after each of int32 [B, T]."""
        positions = sinusoid_positions(tokens.shape[1], self.config.width)
        x = (self.embedding[...][tokens] + positions[None]).astype(self.dtype)
        x = scan_layers(
            self.layers, lambda layer, x, cross: layer(x, layer.own_memory(x), cross), x, cross
        )
        return self.output(self.norm(x))

    def step(
        self, tokens: jax.Array, cross: KeyValue, cache: Cache, step: jax.Array
    ) -> tuple[jax.Array, Cache]:
        """Logits float32 [B, V] after tokens int32 [B], those before them being in the cache."""
        positions = sinusoid_positions(self.config.note_tokens, self.config.width)
        x = (self.embedding[...][tokens] + positions[step][None]).astype(self.dtype)
        x, cache = decode_step(self.layers, x[:, None], cross, cache, step)
        return self.output(self.norm(x))[:, 0], cache


class Mt3(nnx.Module):
    """The whole network.

    Args:
        config: sizes; `target_frames` counts the frames heard and `note_tokens` those written.
        dtype: type of the matrix products; parameters and logits stay float32.
        rngs: stream `params`.
    """

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        self.encoder = FrameEncoder(config, dtype=dtype, rngs=rngs)
        self.decoder = TokenDecoder(config, dtype=dtype, rngs=rngs)

    def __call__(self, log_mel: jax.Array, tokens: jax.Array) -> jax.Array:
        """Logits float32 [B, T, V] of the token after each of int32 [B, T], none of them padding.

        `log_mel` is [B, F, M], unscaled; the first token of a segment follows `PADDING_ID`.
        """
        return self.decoder(tokens, self.decoder.memory(self.encoder(log_mel)))


class _Decoding(NamedTuple):
    """Where greedy decoding is."""

    tokens: jax.Array  # int32 [B, T]; padding after the end of a row
    ended: jax.Array  # bool [B]
    cache: Cache
    step: jax.Array


def decode_greedily(model: Mt3, log_mel: jax.Array, max_tokens: int) -> jax.Array:
    """Writes the likeliest token, again and again, until every row has ended. To be jitted.

    Args:
        model: the network.
        log_mel: unscaled [B, F, M].
        max_tokens: where rows that do not end are cut off; static.

    Returns:
        int32 [B, max_tokens]; what follows a row's end-of-sequence id is padding.
    """
    decoder, batch = model.decoder, log_mel.shape[0]
    cross = decoder.memory(model.encoder(log_mel))

    def goes_on(state: _Decoding) -> jax.Array:
        return ~state.ended.all() & (state.step < state.cache.key.shape[3])

    def write_one(state: _Decoding) -> _Decoding:
        tokens, ended, cache, step = state
        last = jnp.where(step == 0, PADDING_ID, tokens[:, jnp.maximum(step - 1, 0)])
        logits, cache = decoder.step(last, cross, cache, step)
        chosen = jnp.where(ended, PADDING_ID, logits.argmax(axis=-1).astype(jnp.int32))
        ended |= chosen == END_ID
        return _Decoding(tokens.at[:, step].set(chosen), ended, cache, step + 1)

    def finish(state: _Decoding) -> jax.Array:
        state = jax.lax.while_loop(goes_on, write_one, state)
        room = state.cache.key.shape[3]
        if room == max_tokens:
            return state.tokens
        more = min(2 * room, max_tokens)
        return jax.lax.cond(
            state.ended.all(),
            lambda state: state.tokens,
            lambda state: finish(state._replace(cache=state.cache.grown(more))),
            state,
        )

    return finish(
        _Decoding(
            jnp.full((batch, max_tokens), PADDING_ID, jnp.int32),
            jnp.zeros(batch, bool),
            empty_cache(decoder.config, batch, min(FIRST_ROOM, max_tokens), decoder.dtype),
            jnp.int32(0),
        )
    )
