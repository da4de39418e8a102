"""ONNX graphs of the networks of a diffusion model.

Batch size and number of notes may vary. Masks say which notes and which frames of the context
exist; a decoder that is given none of both denoises without conditions. Axis letters: see
`spectrodiff.models.config`; S is the length of what is attended to.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.onnx_graph import Graph, Port
from spectrodiff.models.attention import MASKED_LOGIT
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.denoiser import MAX_TIME, time_rates

Weights = Mapping[str, np.ndarray]


def notes_encoder(checkpoint: Checkpoint) -> Any:
    """Returns the graph from `tokens` int32 [B, n] to `notes_encoding` [B, n, D], n <= N.

    Padding (token 0) comes last.
    """
    config, weights = checkpoint.config, _part(checkpoint, "note_encoder/")
    graph = _Network(config)
    zero = graph.constant(np.int32(0))
    mask = graph.mask(graph.add("Greater", "tokens", zero))
    embedded = graph.add("Gather", graph.constant(weights["embedding"]), "tokens")
    length = graph.add("Slice", graph.add("Shape", "tokens"), graph.integers(1), graph.integers(2))
    rows = graph.add("Slice", graph.constant(_table(weights)), graph.integers(0), length)
    graph.encode(weights, graph.add("Add", embedded, rows), mask, "notes_encoding")
    return graph.model(
        "notes_encoder",
        {"tokens": (np.int32, ["batch", "notes"])},
        {"notes_encoding": (np.float32, ["batch", "notes", config.width])},
    )


def context_encoder(checkpoint: Checkpoint) -> Any:
    """Returns the graph from `context` [B, C, M] and `context_mask` to `context_encoding`.

    Features are scaled, the frames that exist come first.
    """
    config, weights = checkpoint.config, _part(checkpoint, "context_encoder/")
    C = config.context_frames
    graph = _Network(config)
    rows = graph.integers(*range(C))
    if config.context_positions == "from_end":
        counted = graph.add("Cast", "context_mask", to=_INT64)
        exist = graph.add("ReduceSum", counted, graph.integers(1), keepdims=1)
        rows = graph.add("Mod", graph.add("Sub", rows, exist), graph.constant(np.int64(C)))
    positions = graph.add("Gather", graph.constant(_table(weights)), rows)
    projected = graph.dense(weights, "input", "context")
    embedded = graph.add("Add", projected, positions)
    graph.encode(weights, embedded, graph.mask("context_mask"), "context_encoding")
    return graph.model(
        "context_encoder",
        {
            "context": (np.float32, ["batch", C, config.mel_bins]),
            "context_mask": (bool, ["batch", C]),
        },
        {"context_encoding": (np.float32, ["batch", C, config.width])},
    )


def decoder(checkpoint: Checkpoint) -> Any:
    """Returns the graph that denoises a segment: `output` [B, F, outputs].

    Its inputs are `noisy` [B, F, M], `time` [B] in [0, 1], `notes_encoding` [B, n, D], `notes_mask`
    [B, n], and `context_encoding` [B, C, D], `context_mask` [B, C] for a model with context.
    """
    config, weights = checkpoint.config, _part(checkpoint, "decoder/")
    graph = _Network(config)
    time = graph.time_embedding(weights, "time")
    sources = _sources(graph, config)
    x = graph.add("Add", graph.dense(weights, "input", "noisy"), graph.constant(_table(weights)))
    for number in range(config.decoder_layers):
        x = _decoder_layer(graph, _layer(weights, number), x, time, sources)
    x = graph.norm(weights, "norm", x)
    graph.dense(weights, "output", x, output="output")
    batch, width = "batch", config.width
    context: dict[str, Port] = {
        "context_encoding": (np.float32, [batch, config.context_frames, width]),
        "context_mask": (bool, [batch, config.context_frames]),
    }
    frames, bins = config.target_frames, config.mel_bins
    return graph.model(
        "decoder",
        {
            "noisy": (np.float32, [batch, frames, bins]),
            "time": (np.float32, [batch]),
            "notes_encoding": (np.float32, [batch, "notes", width]),
            "notes_mask": (bool, [batch, "notes"]),
            **(context if config.has_context else {}),
        },
        {"output": (np.float32, [batch, frames, config.estimates * bins])},
    )


# Values and mask of what one cross-attention attends to, by the name of its parameters.
_Sources = Mapping[str, tuple[str, "_Mask"]]


def _sources(graph: "_Network", config: ModelConfig) -> _Sources:
    values, masks = ["notes_encoding"], ["notes_mask"]
    if config.has_context:
        values, masks = [*values, "context_encoding"], [*masks, "context_mask"]
    if config.cross_attention == "sum":
        names = ("cross_attention/notes", "cross_attention/context")
        pairs = zip(values, map(graph.mask, masks), strict=True)
        return dict(zip(names, pairs, strict=True))
    joined = graph.add("Concat", *values, axis=1)
    return {"cross_attention": (joined, graph.mask(graph.add("Concat", *masks, axis=1)))}


def _decoder_layer(graph: "_Network", layer: Weights, x: str, time: str, sources: _Sources) -> str:
    normed = graph.norm(layer, "self_attention_norm", x)
    normed = graph.film(layer, "self_attention_film", normed, time)
    x = graph.add("Add", x, graph.attention(layer, "self_attention", normed, normed, None))
    normed = graph.norm(layer, "cross_attention_norm", x)
    attended = [
        graph.attention(layer, name, normed, values, mask)
        for name, (values, mask) in sources.items()
    ]
    x = functools.reduce(functools.partial(graph.add, "Add"), attended, x)
    normed = graph.film(layer, "mlp_film", graph.norm(layer, "mlp_norm", x), time)
    return graph.add("Add", x, graph.mlp(layer, normed))


class _Mask:
    """Mask of the entries that exist, in the forms that attention needs.

    Attributes:
        logits: term of the logits, [B, 1, 1, S].
        any: 1 for examples with an entry, else 0, [B, 1, 1].
    """

    def __init__(self, logits: str, any: str) -> None:
        self.logits, self.any = logits, any


class _Network(Graph):
    """Graph with the building blocks of the networks; see `spectrodiff.models.layers`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def mask(self, exists: str) -> _Mask:
        """Takes a mask, bool [B, S]."""
        number = self.add("Cast", exists, to=_FLOAT)
        absent = self.times(self.plus(number, -1.0), -MASKED_LOGIT)
        logits = self.add("Unsqueeze", absent, self.integers(1, 2))
        # None of no entries exist, of which a maximum is not defined.
        count = self.add("ReduceSum", number, self.integers(1), keepdims=1)
        any = self.add("Min", count, self.constant(np.float32(1.0)))
        return _Mask(logits, self.add("Unsqueeze", any, self.integers(2)))

    def dense(self, weights: Weights, name: str, x: str, output: str | None = None) -> str:
        kernel = self.constant(weights[f"{name}/kernel"])
        return self.add("MatMul", x, kernel, output=output)

    def norm(self, weights: Weights, name: str, x: str, output: str | None = None) -> str:
        """Divides by the root mean square of the last axis, and scales."""
        square = self.add("ReduceMean", self.add("Mul", x, x), axes=[-1], keepdims=1)
        root = self.add("Sqrt", self.plus(square, 1e-6))
        scale = self.constant(weights[f"{name}/scale"])
        return self.add("Mul", self.add("Div", x, root), scale, output=output)

    def attention(
        self, weights: Weights, name: str, x: str, source: str, mask: _Mask | None
    ) -> str:
        """Attends from x [B, T, D] to a source [B, S, D]; all of it exists if there is no mask."""
        query = self._heads(self.dense(weights, f"{name}/query", x), [0, 2, 1, 3])
        keys = self._heads(self.dense(weights, f"{name}/key", source), [0, 2, 3, 1])
        values = self._heads(self.dense(weights, f"{name}/value", source), [0, 2, 1, 3])
        logits = self.add("MatMul", query, keys)
        if mask is not None:
            logits = self.add("Add", logits, mask.logits)
        attended = self.add("MatMul", self.add("Softmax", logits, axis=-1), values)
        attended = self.add("Transpose", attended, perm=[0, 2, 1, 3])
        attended = self.add("Reshape", attended, self.integers(0, 0, -1))
        if mask is not None:
            attended = self.add("Mul", attended, mask.any)
        return self.dense(weights, f"{name}/out", attended)

    def _heads(self, x: str, order: list[int]) -> str:
        """Splits [B, S, H * K] to [B, S, H, K], and transposes that."""
        sizes = self.integers(0, 0, self.config.heads, self.config.head_width)
        return self.add("Transpose", self.add("Reshape", x, sizes), perm=order)

    def mlp(self, layer: Weights, x: str) -> str:
        """Adds the gated feed-forward block."""
        gate = self.gelu(self.dense(layer, "mlp/gate", x))
        hidden = self.add("Mul", gate, self.dense(layer, "mlp/up", x))
        return self.dense(layer, "mlp/down", hidden)

    def encode(self, weights: Weights, x: str, mask: _Mask, output: str) -> None:
        """Adds the layers and the norm of an encoder."""
        for number in range(self.config.encoder_layers):
            layer = _layer(weights, number)
            normed = self.norm(layer, "attention_norm", x)
            x = self.add("Add", x, self.attention(layer, "attention", normed, normed, mask))
            x = self.add("Add", x, self.mlp(layer, self.norm(layer, "mlp_norm", x)))
        self.norm(weights, "norm", x, output=output)

    def film(self, layer: Weights, name: str, x: str, time: str) -> str:
        """Computes x * (1 + scale) + shift; both depend on the embedding [B, 1, 4 D] of time."""
        both = self.dense(layer, name, time)
        width = self.config.width
        scale, shift = self.part(both, 0, width), self.part(both, width, 2 * width)
        return self.add("Add", self.add("Mul", x, self.plus(scale, 1.0)), shift)

    def time_embedding(self, weights: Weights, time: str) -> str:
        """Embeds times [B] to [B, 1, 4 D]."""
        # As the compiled network computes them: a rounding step of the fastest matters.
        rates = np.asarray(jax.jit(time_rates, static_argnums=0)(self.config.width))
        scaled = self.add("Unsqueeze", self.times(time, MAX_TIME), self.integers(1, 2))
        angles = self.times(scaled, rates)
        waves = [self.add(function, angles) for function in ("Sin", "Cos")]
        x = self.add("Concat", *waves, axis=2)
        for name in ("time/in", "time/out"):
            x = self.dense(weights, name, x)
            x = self.add("Mul", x, self.add("Sigmoid", x))
        return x


# Numbers of types in ONNX.
_FLOAT, _INT64 = 1, 7


def _part(checkpoint: Checkpoint, prefix: str) -> dict[str, np.ndarray]:
    """Returns the parameters of one network by name."""
    return {
        name.removeprefix(prefix): np.asarray(values, np.float32)
        for name, values in flatten(checkpoint.params).items()
        if name.startswith(prefix)
    }


def _layer(weights: Weights, number: int) -> dict[str, np.ndarray]:
    """Returns the parameters of one layer of a stack."""
    return {
        name.removeprefix("layers/"): values[number]
        for name, values in weights.items()
        if name.startswith("layers/")
    }


def _table(weights: Weights) -> np.ndarray:
    """Returns the position table, trained or not."""
    return weights["positions"] if "positions" in weights else weights["trained_positions"]
