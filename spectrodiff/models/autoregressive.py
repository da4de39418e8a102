"""The paper's autoregressive baseline: each frame is predicted from those before it.

It hears no context and knows no diffusion time; frames are unscaled log-mel on both sides. Axis
letters: see `spectrodiff.models.config`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.models.causal import (
    Cache,
    CausalDecoderLayer,
    cross_memory,
    decode_step,
    empty_cache,
)
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.encoders import EncoderStack, Encoding
from spectrodiff.models.layers import (
    Dense,
    Key,
    KeyValue,
    RMSNorm,
    dropout,
    layer_keys,
    scan_layers,
    sinusoid_positions,
    split_key,
    stack,
)
from spectrodiff.music.vocabulary import PADDING_ID

# Deviation of the noise that is added to frames before they are fed back.
DITHER = 0.2


class PlainNoteEncoder(EncoderStack):
    """Encodes note tokens; its self-attention sees the padding as well, all N tokens of it."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, dtype=dtype, remat=remat, rngs=rngs)
        embedding = jax.random.normal(rngs.params(), (config.vocabulary_size, config.width))
        self.embedding = nnx.Param(embedding)
        self.length = config.note_tokens

    def __call__(self, tokens: jax.Array, *, key: Key = None) -> Encoding:
        """Encodes tokens int32 [B, n], n <= N; the result is the same for any n that fits."""
        length = tokens.shape[1]
        padding = [(0, 0), (0, self.length - length)]
        padded = jnp.pad(tokens, padding, constant_values=PADDING_ID)
        positions = sinusoid_positions(self.length, self.embedding[...].shape[1])
        embedded = self.embedding[...][padded] + positions[None]
        everything = jnp.ones((1, 1, self.length), bool)
        # Encoded padding is masked from here on, so that it need not go any further.
        values = self.encode(embedded, everything, key)[:, :length]
        return Encoding(values, tokens != PADDING_ID)


class FrameDecoder(nnx.Module):
    """Predicts frames, each from the frames before it and the notes."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        self.input = Dense(config.mel_bins, config.width, dtype=dtype, rngs=rngs)
        self.layers = stack(
            lambda rngs: CausalDecoderLayer(config, dtype=dtype, rngs=rngs),
            config.decoder_layers,
            rngs,
        )
        self.norm = RMSNorm(config.width)
        self.output = Dense(config.width, config.mel_bins, rngs=rngs)
        self.config, self.dtype, self.remat = config, dtype, remat

    def memory(self, notes: Encoding) -> KeyValue:
        """What every layer's cross-attention sees of the notes; once a segment."""
        return cross_memory(self.layers, notes.values, notes.mask[:, None])

    def __call__(self, frames: jax.Array, cross: KeyValue, *, key: Key = None) -> jax.Array:
        """Prediction float32 [B, T, M] of the frame after each of [B, T, M]."""
        keys = split_key(key, 3)
        x = self.input(frames) + self._positions(frames.shape[1])[None]
        x = dropout(x, self.config.dropout, keys[0], shared_axis=1)
        x = scan_layers(
            self.layers,
            lambda layer, x, inputs: layer(x, layer.own_memory(x), inputs[0], key=inputs[1]),
            x,
            (cross, layer_keys(keys[1], self.config.decoder_layers)),
            remat=self.remat,
        )
        return self.output(dropout(self.norm(x), self.config.dropout, keys[2], shared_axis=1))

    def step(
        self, frame: jax.Array, cross: KeyValue, cache: Cache, step: jax.Array
    ) -> tuple[jax.Array, Cache]:
        """Prediction float32 [B, M] of the frame after [B, M]; the cache knows those before it."""
        x = self.input(frame) + self._positions(self.config.target_frames)[step][None]
        x, cache = decode_step(self.layers, x[:, None], cross, cache, step)
        return self.output(self.norm(x))[:, 0], cache

    def _positions(self, length: int) -> jax.Array:
        return sinusoid_positions(length, self.config.width).astype(self.dtype)


class Autoregressor(nnx.Module):
    """The whole network.

    Args:
        config: sizes, of kind "autoregressive".
        dtype: type of the matrix products; parameters and outputs stay float32.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: stream `params`.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.note_encoder = PlainNoteEncoder(config, dtype=dtype, remat=remat, rngs=rngs)
        self.decoder = FrameDecoder(config, dtype=dtype, remat=remat, rngs=rngs)

    def __call__(self, tokens: jax.Array, log_mel: jax.Array, *, key: Key = None) -> jax.Array:
        """Prediction of every frame from the true frames before it.

        Args:
            tokens: int32 [B, n], n <= N.
            log_mel: unscaled [B, F, M].
            key: dropout key, consumed.

        Returns:
            float32 [B, F, M], unscaled.
        """
        keys = split_key(key, 2)
        cross = self.decoder.memory(self.note_encoder(tokens, key=keys[0]))
        before = jnp.pad(log_mel, [(0, 0), (1, 0), (0, 0)])[:, :-1]
        return self.decoder(before, cross, key=keys[1])


def loss(
    model: Autoregressor, tokens: jax.Array, log_mel: jax.Array, *, key: Key = None
) -> jax.Array:
    """Squared error, mean over the bins and sum over the frames of each example.

    Args:
        model: the network.
        tokens: int32 [B, n].
        log_mel: target, unscaled [B, F, M].
        key: dropout key, consumed; None for evaluation.

    Returns:
        float32 [B].
    """
    squared = jnp.square(model(tokens, log_mel, key=key) - log_mel)
    return squared.mean(axis=-1).sum(axis=-1)


class Writing(NamedTuple):
    """Where sampling is: some frames are written, the rest are zeros."""

    frames: jax.Array  # [B, F, M], unscaled
    cache: Cache


def begin(config: ModelConfig, batch: int, dtype: DTypeLike) -> Writing:
    """Nothing is written yet."""
    frames = jnp.zeros((batch, config.target_frames, config.mel_bins))
    return Writing(frames, empty_cache(config, batch, config.target_frames, dtype))


def write_frames(
    decoder: FrameDecoder,
    writing: Writing,
    cross: KeyValue,
    keys: jax.Array,
    *,
    first: jax.Array | int,
    last: jax.Array | int,
    dither: float = DITHER,
) -> Writing:
    """Writes some more frames. To be jitted.

    Args:
        decoder: of the network.
        writing: where `first` frames are written.
        cross: `decoder.memory` of the notes.
        keys: one per example, [B]; consumed. An example's frames do not depend on its neighbours.
        first: the number of the first frame to write.
        last: that of the frame after the last one.
        dither: deviation of the noise in the frames that are fed back; what is written is clean.
    """

    def write_one(step: jax.Array, writing: Writing) -> Writing:
        frames, cache = writing
        before = frames[:, jnp.maximum(step - 1, 0)]
        noise = jax.vmap(
            lambda key: jax.random.normal(jax.random.fold_in(key, step), before.shape[1:])
        )(keys)
        # Before the first frame there are zeros, without noise.
        before = jnp.where(step == 0, 0.0, before + dither * noise)
        frame, cache = decoder.step(before, cross, cache, step)
        return Writing(frames.at[:, step].set(frame), cache)

    return jax.lax.fori_loop(first, last, write_one, writing)


def sample(
    model: Autoregressor, tokens: jax.Array, keys: jax.Array, *, dither: float = DITHER
) -> jax.Array:
    """Writes a whole segment, frame after frame. To be jitted.

    Args:
        model: the network.
        tokens: int32 [B, n].
        keys: one per example, [B]; consumed.
        dither: deviation of the noise in the frames that are fed back.

    Returns:
        float32 [B, F, M], unscaled.
    """
    config = model.decoder.config
    cross = model.decoder.memory(model.note_encoder(tokens))
    writing = begin(config, len(tokens), model.decoder.dtype)
    return write_frames(
        model.decoder, writing, cross, keys, first=0, last=config.target_frames, dither=dither
    ).frames
