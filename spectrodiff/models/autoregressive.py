"""The paper's autoregressive baseline: each frame is predicted from those before it.

It has neither context nor diffusion time; inputs and outputs are unscaled log-mel frames. Axis
letters: see `spectrodiff.models.config`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int, Key

from spectrodiff.models.attention import KeyValue
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
    DropoutKey,
    RMSNorm,
    dropout,
    layer_keys,
    scan_layers,
    split_key,
    stack,
)
from spectrodiff.models.positions import sinusoid_positions
from spectrodiff.music.vocabulary import PADDING_ID

# Standard deviation of the noise added to each frame when it is sampled. As in the released code,
# the frame is returned with it.
DITHER = 0.2


class PlainNoteEncoder(EncoderStack):
    """Encodes note tokens; self-attention includes the padding up to N tokens."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, dtype=dtype, remat=remat, rngs=rngs)
        embedding = jax.random.normal(rngs.params(), (config.vocabulary_size, config.width))
        self.embedding = nnx.Param(embedding)
        self.length = config.note_tokens

    def __call__(self, tokens: Int[Array, "B n"], *, key: DropoutKey = None) -> Encoding:
        """Encodes n <= N tokens; more padding does not change the result."""
        length = tokens.shape[1]
        padding = [(0, 0), (0, self.length - length)]
        padded = jnp.pad(tokens, padding, constant_values=PADDING_ID)
        positions = sinusoid_positions(self.length, self.embedding[...].shape[1])
        embedded = self.embedding[...][padded] + positions[None]
        # Encoded padding is not attended to from here on and can be dropped.
        values = self.encode(embedded, None, key)[:, :length]
        return Encoding(values, (tokens != PADDING_ID).sum(axis=1, dtype=jnp.int32))


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
        """Computes every layer's cross-attention keys and values, with a leading axis L."""
        return cross_memory(self.layers, *notes)

    def __call__(
        self, frames: Float[Array, "B T M"], cross: KeyValue, *, key: DropoutKey = None
    ) -> Float32[Array, "B T M"]:
        """Predicts the frame after each of the given frames."""
        keys = split_key(key, 3)
        x = self.input(frames) + self._positions(frames.shape[1])[None]
        x = dropout(x, self.config.dropout, keys[0], shared_axis=1)
        x = scan_layers(
            self.layers,
            lambda layer, x, inputs: layer(x, inputs[0], key=inputs[1]),
            x,
            (cross, layer_keys(keys[1], self.config.decoder_layers)),
            remat=self.remat,
        )
        return self.output(dropout(self.norm(x), self.config.dropout, keys[2], shared_axis=1))

    def step(
        self, frame: Float[Array, "B M"], cross: KeyValue, cache: Cache, step: Int[Array, ""]
    ) -> tuple[Float32[Array, "B M"], Cache]:
        """Predicts the frame after a given one; the cache holds those before it."""
        x = self.input(frame) + self._positions(self.config.target_frames)[step][None]
        x, cache = decode_step(self.layers, x[:, None], cross, cache, step)
        return self.output(self.norm(x))[:, 0], cache

    def _positions(self, length: int) -> Float[Array, "length D"]:
        return sinusoid_positions(length, self.config.width).astype(self.dtype)


class Autoregressor(nnx.Module):
    """Autoregressive network: note encoder and frame decoder.

    Args:
        config: sizes, of kind "autoregressive".
        dtype: type of the matrix products; parameters and outputs stay float32.
        remat: recompute activations in the backward pass, layer by layer.
        rngs: random streams; `params` is used.
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

    def __call__(
        self, tokens: Int[Array, "B n"], log_mel: Float[Array, "B F M"], *, key: DropoutKey = None
    ) -> Float32[Array, "B F M"]:
        """Predicts every frame from the true frames before it.

        Args:
            tokens: n <= N note tokens.
            log_mel: true frames, unscaled.
            key: dropout key, consumed.

        Returns:
            Predicted frames, unscaled.
        """
        keys = split_key(key, 2)
        cross = self.decoder.memory(self.note_encoder(tokens, key=keys[0]))
        before = jnp.pad(log_mel, [(0, 0), (1, 0), (0, 0)])[:, :-1]
        return self.decoder(before, cross, key=keys[1])


def loss(
    model: Autoregressor,
    tokens: Int[Array, "B n"],
    log_mel: Float[Array, "B F M"],
    *,
    key: DropoutKey = None,
) -> Float32[Array, " B"]:
    """Computes the squared error, mean over the bins and sum over the frames of each example.

    Args:
        model: network.
        tokens: note tokens.
        log_mel: target, unscaled.
        key: dropout key, consumed; None for evaluation.
    """
    squared = jnp.square(model(tokens, log_mel, key=key) - log_mel)
    return squared.mean(axis=-1).sum(axis=-1)


class Writing(NamedTuple):
    """State of sampling: unscaled frames, zero where not generated yet, and the cache."""

    frames: Float32[Array, "B F M"]
    cache: Cache


def begin(config: ModelConfig, batch: int, dtype: DTypeLike) -> Writing:
    """Returns the state before the first frame."""
    frames = jnp.zeros((batch, config.target_frames, config.mel_bins))
    return Writing(frames, empty_cache(config, batch, config.target_frames, dtype))


def write_frames(
    decoder: FrameDecoder,
    writing: Writing,
    cross: KeyValue,
    keys: Key[Array, " B"],
    *,
    first: Int[Array, ""] | int,
    count: Int[Array, ""] | int,
    dither: float | Float[Array, ""] = DITHER,
) -> Writing:
    """Generates `count` frames from `first` on; call it under `jax.jit`.

    Args:
        decoder: decoder of the network.
        writing: state after `first` frames.
        cross: `decoder.memory` of the notes.
        keys: one per example, consumed; examples do not influence one another.
        first: index of the first frame to generate.
        count: number of frames; a GPU runs a loop of a known number without the host.
        dither: standard deviation of the noise added to each frame, which is fed back with it.
    """

    def write_one(written: jax.Array, writing: Writing) -> Writing:
        step = first + written
        frames, cache = writing
        # The first frame is predicted from zeros.
        before = jnp.where(step == 0, 0.0, frames[:, jnp.maximum(step - 1, 0)])
        frame, cache = decoder.step(before, cross, cache, step)
        noise = jax.vmap(
            lambda key: jax.random.normal(jax.random.fold_in(key, step), frame.shape[1:])
        )(keys)
        return Writing(frames.at[:, step].set(frame + dither * noise), cache)

    return jax.lax.fori_loop(0, count, write_one, writing)


def sample(
    model: Autoregressor,
    tokens: Int[Array, "B n"],
    keys: Key[Array, " B"],
    *,
    dither: float | Float[Array, ""] = DITHER,
) -> Float32[Array, "B F M"]:
    """Generates a segment frame by frame, unscaled; call it under `jax.jit`.

    Args:
        model: network.
        tokens: note tokens.
        keys: one per example, consumed.
        dither: standard deviation of the noise added to each frame, which is fed back with it.
    """
    config = model.decoder.config
    cross = model.decoder.memory(model.note_encoder(tokens))
    writing = begin(config, len(tokens), model.decoder.dtype)
    return write_frames(
        model.decoder, writing, cross, keys, first=0, count=config.target_frames, dither=dither
    ).frames
