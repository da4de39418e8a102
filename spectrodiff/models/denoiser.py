"""Diffusion network: encoders, and the decoder that denoises a segment."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int

from spectrodiff.models.attention import Attention, KeyValue
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Definition, Params
from spectrodiff.models.encoders import ContextEncoder, Encoding, NoteEncoder, join
from spectrodiff.models.layers import (
    Dense,
    DropoutKey,
    FeedForward,
    RMSNorm,
    dropout,
    film,
    layer_keys,
    map_layers,
    scan_layers,
    split_key,
    stack,
)
from spectrodiff.models.positions import Positioned

MAX_TIME = 20_000.0  # t in [0, 1] is multiplied by this before it is embedded

Tree = TypeVar("Tree")


class Films(NamedTuple):
    """FiLM scale and shift of every layer, for one time per example or (B = 1) for all."""

    self_attention: Float[Array, "L B 2*D"]
    mlp: Float[Array, "L B 2*D"]


# Cross-attention keys and values: one entry per source, none for an unconditional pass. Arrays have
# a leading axis L, except inside a layer.
Memory = tuple[KeyValue, ...]


class DecoderLayer(nnx.Module):
    """Self-attention, cross-attention and feed-forward; FiLM conditions the first and the last."""

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

        def film_dense() -> Dense:
            return Dense(4 * config.width, 2 * config.width, dtype=dtype, rngs=rngs)

        self.self_attention_norm = RMSNorm(config.width, dtype=dtype)
        self.self_attention_film = film_dense()
        self.self_attention = attention()
        self.cross_attention_norm = RMSNorm(config.width, dtype=dtype)
        self.cross_attention: Attention | nnx.Dict[Attention] = (
            nnx.Dict(notes=attention(), context=attention())
            if config.cross_attention == "sum"
            else attention()
        )
        self.mlp_norm = RMSNorm(config.width, dtype=dtype)
        self.mlp_film = film_dense()
        self.mlp = FeedForward(
            config.width, config.mlp_width, dropout=config.dropout, dtype=dtype, rngs=rngs
        )
        self.dropout = config.dropout

    def memory(self, encodings: list[Encoding]) -> Memory:
        """Computes keys and values of the encodings, joined if there is one cross-attention."""
        if isinstance(self.cross_attention, Attention):
            (joined,) = encodings
            return (self.cross_attention.memory(*joined),)
        return tuple(
            attention.memory(*encoding)
            for attention, encoding in zip(self._cross_attentions(), encodings, strict=True)
        )

    def film(self, time_embedding: Float[Array, "B time_width"]) -> Films:
        """Computes this layer's scales and shifts, without the axis L."""
        return Films(self.self_attention_film(time_embedding), self.mlp_film(time_embedding))

    def __call__(
        self, x: Float[Array, "R F D"], films: Films, memory: Memory, *, key: DropoutKey = None
    ) -> Float[Array, "R F D"]:
        """Applies the layer; rows beyond the batch of the memory skip the cross-attention."""
        keys = split_key(key, 5)
        normed = film(self.self_attention_norm(x), films.self_attention)
        attended = self.self_attention(normed, self.self_attention.memory(normed), key=keys[0])
        x = x + dropout(attended, self.dropout, keys[1], shared_axis=1)
        if memory:
            x = self._cross_attend(x, memory, keys[2])
        hidden = self.mlp(film(self.mlp_norm(x), films.mlp), key=keys[3])
        return x + dropout(hidden, self.dropout, keys[4], shared_axis=1)

    def _cross_attend(
        self, x: Float[Array, "R F D"], memory: Memory, key: DropoutKey
    ) -> Float[Array, "R F D"]:
        conditioned = memory[0].key.shape[0]
        normed = self.cross_attention_norm(x[:conditioned])
        keys = iter(split_key(key, 2 * len(memory)))
        attended = jnp.zeros_like(normed)
        for attention, source in zip(self._cross_attentions(), memory, strict=True):
            each = attention(normed, source, key=next(keys))
            attended += dropout(each, self.dropout, next(keys), shared_axis=1)
        if conditioned == x.shape[0]:
            return x + attended
        return jnp.concatenate([x[:conditioned] + attended, x[conditioned:]])

    def _cross_attentions(self) -> list[Attention]:
        if isinstance(self.cross_attention, Attention):
            return [self.cross_attention]
        return [self.cross_attention["notes"], self.cross_attention["context"]]


class Decoder(Positioned):
    """Denoises a scaled log-mel segment, given time and encodings."""

    def __init__(
        self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs
    ) -> None:
        width = config.width
        self.input = Dense(config.mel_bins, width, dtype=dtype, rngs=rngs)
        self.add_positions(config.positions, config.target_frames, width, rngs)
        self.time = nnx.Dict(
            {
                "in": Dense(width, 4 * width, dtype=dtype, rngs=rngs),
                "out": Dense(4 * width, 4 * width, dtype=dtype, rngs=rngs),
            }
        )
        self.layers = stack(
            lambda rngs: DecoderLayer(config, dtype=dtype, rngs=rngs), config.decoder_layers, rngs
        )
        self.norm = RMSNorm(width)
        self.output = Dense(width, config.estimates * config.mel_bins, rngs=rngs)
        self.width, self.depth = width, config.decoder_layers
        self.separate_sources = config.cross_attention == "sum"
        self.dropout, self.dtype, self.remat = config.dropout, dtype, remat

    def memory(self, encodings: list[Encoding]) -> Memory:
        """Computes every layer's cross-attention keys and values, with a leading axis L."""
        if not self.separate_sources:
            encodings = [join(encodings)]
        return map_layers(self.layers, lambda layer: layer.memory(encodings))

    def films(self, time: Float[Array, " B"]) -> Films:
        """Computes every layer's FiLM for times in [0, 1]."""
        embedding = time_embedding(time, self.width)
        embedding = nnx.swish(self.time["in"](embedding))
        embedding = nnx.swish(self.time["out"](embedding))
        return map_layers(self.layers, lambda layer: layer.film(embedding))

    def __call__(
        self, noisy: Float[Array, "R F M"], films: Films, memory: Memory, *, key: DropoutKey = None
    ) -> Float32[Array, "R F outputs"]:
        """Predicts from noisy features; rows beyond the batch of the memory are unconditional."""
        keys = split_key(key, 3)
        x = dropout(self._embed(noisy), self.dropout, keys[0], shared_axis=1)
        x = scan_layers(
            self.layers,
            lambda layer, x, inputs: layer(x, inputs[0], inputs[1], key=inputs[2]),
            x,
            (films, memory, layer_keys(keys[1], self.depth)),
            remat=self.remat,
        )
        x = dropout(self.norm(x), self.dropout, keys[2], shared_axis=1)
        return self.output(x)

    def unrolled(self, memory: Memory) -> Callable[[jax.Array, Films], jax.Array]:
        """Returns a function like `__call__` without dropout, one layer after another.

        The weights and memories of the layers are cut out of their stacks here: called before a
        loop over steps, once. A loop over layers does it again in every step, and on a GPU by
        copying, which takes time if a batch is small. In return, each layer is compiled by itself.
        """
        definition, arrays = nnx.split(self.layers)
        stacked = (nnx.to_pure_dict(arrays), memory)

        def cut(tree: Tree, number: int) -> Tree:
            result: Tree = jax.tree.map(lambda array: array[number], tree)
            return result

        layers = [cut(stacked, number) for number in range(self.depth)]

        def decode(noisy: jax.Array, films: Films) -> jax.Array:
            x = self._embed(noisy)
            for number, (weights, memory) in enumerate(layers):
                x = nnx.merge(definition, weights)(x, cut(films, number), memory)
            return self.output(self.norm(x))

        return decode

    def _embed(self, noisy: Float[Array, "R F M"]) -> Float[Array, "R F D"]:
        return self.input(noisy) + self.position_rows[None].astype(self.dtype)


def time_embedding(time: Float[Array, " B"], width: int) -> Float32[Array, "B width"]:
    """Returns sines, then cosines of the scaled time."""
    angles = (time.astype(jnp.float32) * MAX_TIME)[:, None] * time_rates(width)[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)


def time_rates(width: int) -> Float32[Array, " half"]:
    """Returns the angle per unit of scaled time of each sine: geometric from 1 to 1 / 20,000."""
    half = width // 2
    return jnp.exp(-jnp.arange(half) * (math.log(MAX_TIME) / max(half - 1, 1)))


class Denoiser(nnx.Module):
    """Diffusion network: predicts from a noisy segment, its notes, its context and the time.

    Args:
        config: sizes.
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
        self.note_encoder = NoteEncoder(config, dtype=dtype, remat=remat, rngs=rngs)
        if config.has_context:
            self.context_encoder = ContextEncoder(config, dtype=dtype, remat=remat, rngs=rngs)
        self.decoder = Decoder(config, dtype=dtype, remat=remat, rngs=rngs)
        self.has_context = config.has_context

    def encode(
        self,
        tokens: Int[Array, "B n"],
        context: Float[Array, "B C M"] | None = None,
        context_mask: Bool[Array, "B C"] | None = None,
        *,
        key: DropoutKey = None,
    ) -> list[Encoding]:
        """Encodes tokens and, if the network has a context, scaled features.

        Args:
            tokens: note tokens, padding (0) last.
            context: scaled features in [-1, 1], valid frames first.
            context_mask: True for valid frames.
            key: dropout key; None means no dropout.

        Returns:
            Encodings of the notes and, if there is a context, of the context.
        """
        keys = split_key(key, 2)
        encodings = [self.note_encoder(tokens, key=keys[0])]
        if self.has_context:
            assert context is not None
            assert context_mask is not None
            encodings.append(self.context_encoder(context, context_mask, key=keys[1]))
        return encodings

    def encode_apart(
        self,
        tokens: Int[Array, "B n"],
        context: Float[Array, "B C M"],
        context_mask: Bool[Array, "B C"],
    ) -> list[Encoding]:
        """Encodes notes with their context, then, as further rows, notes without context."""
        both = self.encode(tokens, context, context_mask)
        alone = [both[0], self.context_encoder(context, jnp.zeros_like(context_mask))]
        joined: list[Encoding] = jax.tree.map(lambda *rows: jnp.concatenate(rows), both, alone)
        return joined

    def __call__(
        self,
        tokens: Int[Array, "B n"],
        context: Float[Array, "B C M"] | None,
        context_mask: Bool[Array, "B C"] | None,
        noisy: Float[Array, "B F M"],
        time: Float[Array, "#B"],
        *,
        key: DropoutKey = None,
    ) -> Float32[Array, "B F outputs"]:
        """Predicts eps, x0 or v from noisy features, notes and context.

        Args:
            tokens: note tokens, padding (0) last.
            context: scaled features in [-1, 1], valid frames first; None for a network without.
            context_mask: True for valid frames; None for a network without context.
            noisy: scaled noisy features z_t.
            time: t in [0, 1], of each example or one for all.
            key: dropout key; None means no dropout.

        Returns:
            The prediction; outputs is M, or 2 M if the network predicts x0 and eps.
        """
        keys = split_key(key, 2)
        encodings = self.encode(tokens, context, context_mask, key=keys[0])
        return self.decoder(
            noisy, self.decoder.films(time), self.decoder.memory(encodings), key=keys[1]
        )


@jax.jit(static_argnums=0)
def predict(
    network: Definition[Denoiser],
    params: Params,
    tokens: jax.Array,
    context: jax.Array | None,
    context_mask: jax.Array | None,
    noisy: jax.Array,
    time: jax.Array,
) -> jax.Array:
    """Evaluates a denoiser, compiled once for each network and shape; see `Denoiser.__call__`."""
    return network.merge(params)(tokens, context, context_mask, noisy, time)
