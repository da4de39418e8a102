"""The tiny networks of the reference arrays, in our own tree."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spectrodiff.checkpoints.layouts.names import t5x_sources
from spectrodiff.checkpoints.tree import StoredArray, assemble
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Definition, define, init_params
from spectrodiff.models.denoiser import Denoiser

TINY_CONTEXT = ModelConfig(
    width=32,
    heads=2,
    head_width=8,
    mlp_width=48,
    encoder_layers=2,
    decoder_layers=3,
    note_tokens=64,
    target_frames=16,
    context_frames=16,
)
NETWORKS = {
    "context_concat_encodings": TINY_CONTEXT,
    "context_sum_cross_attends": dataclasses.replace(TINY_CONTEXT, cross_attention="sum"),
    "no_context": dataclasses.replace(TINY_CONTEXT, context_frames=0),
}


@functools.cache
def load_network(golden: Path, name: str) -> tuple["Compiled", dict[str, np.ndarray]]:
    """A network with its reference weights, and the other arrays of its file."""
    path = golden / f"network_{name}.npz"
    arrays = dict(np.load(path))
    stored = {
        key.removeprefix("params/"): StoredArray(arrays[key].shape, lambda value=arrays[key]: value)
        for key in arrays
        if key.startswith("params/")
    }
    config = NETWORKS[name]
    params = assemble(path, config, t5x_sources(config), stored)
    return build(config, params), arrays


def build(config: ModelConfig, params: Any, **settings: Any) -> "Compiled":
    """A network with given parameters."""
    return Compiled(define(Denoiser, config, **settings), params)


class Compiled:
    """A network whose methods run compiled: op by op, the suite would take minutes."""

    def __init__(self, definition: Definition[Denoiser], params: Any) -> None:
        self.definition, self.params = definition, params

    def __call__(self, *inputs: Any, **keywords: Any) -> jax.Array:
        return self.apply(_call, *inputs, **keywords)

    def apply(self, function: Callable[..., Any], *inputs: Any, **keywords: Any) -> Any:
        """function(network, *inputs, **keywords)"""
        return _apply(self.definition, function, self.params, *inputs, **keywords)


def _call(model: Denoiser, *inputs: Any, **keywords: Any) -> jax.Array:
    return model(*inputs, **keywords)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _apply(
    definition: Definition[Denoiser],
    function: Callable[..., Any],
    params: Any,
    *inputs: Any,
    **keywords: Any,
) -> Any:
    return function(definition.merge(params), *inputs, **keywords)


def random_params(config: ModelConfig, seed: int = 0) -> dict[str, Any]:
    """Initial parameters as host arrays."""
    return jax.tree.map(np.asarray, init_params(Denoiser, config, seed))
