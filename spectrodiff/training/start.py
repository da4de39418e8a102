"""Where a run begins: at random parameters, at a model's, or where it was left."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spectrodiff.checkpoints import open_checkpoint
from spectrodiff.checkpoints.tree import flatten, nest
from spectrodiff.errors import CheckpointError
from spectrodiff.models.config import ModelConfig
from spectrodiff.training.objective import Objective
from spectrodiff.training.optimizers import FIXED
from spectrodiff.training.state import Params
from spectrodiff.vocoder.config import as_dict
from spectrodiff.vocoder.files import GENERATOR, load_inverter

logger = logging.getLogger(__name__)

# What two networks may differ in although one begins with the other's parameters. Segments of other
# lengths need other position tables, which are drawn and not learnt.
_MAY_DIFFER = {"dropout", "note_tokens", "target_frames", "context_frames"}


def initial_params(objective: Objective, seed: int, init_from: str | None = None) -> Params:
    """Parameters before the first step, as host arrays, the same in every process.

    Args:
        objective: knows the network.
        seed: of the random initialisation.
        init_from: a model to begin with instead, as `spectrodiff.load` takes it.

    Raises:
        CheckpointError: if that model cannot be read, or is of another size.
    """
    params: Params = jax.tree.map(np.asarray, jax.device_get(objective.init_params(seed)))
    if init_from is None:
        return params
    if not isinstance(objective.config, ModelConfig):
        return _with_inverter(init_from, params)
    checkpoint = open_checkpoint(init_from)
    _check_config(init_from, checkpoint.config, objective.config)
    begin, own = flatten(checkpoint.params), flatten(params)
    for name, values in own.items():
        if begin[name].shape == values.shape:
            continue
        assert name.endswith(FIXED)
        # With the same seed the longer of two tables begins with the shorter one.
        logger.warning("%s: %s drawn anew for %d rows", init_from, name, len(values))
        begin[name] = values
    return nest({name: np.asarray(begin[name]) for name in own})


def _with_inverter(name: str, params: Params) -> Params:
    """The parameters with those of an inverter for its generator.

    Raises:
        CheckpointError: if there is no such inverter, or it is of another size.
    """
    stored = load_inverter(Path(name))
    ours = jax.tree.map(np.shape, params[GENERATOR])
    if jax.tree.map(np.shape, stored.params) != ours:
        raise CheckpointError(name, "an inverter of the same size", f"{as_dict(stored.config)}")
    return {**params, GENERATOR: stored.params}


def _check_config(name: str, given: ModelConfig, wanted: ModelConfig) -> None:
    for field in dataclasses.fields(ModelConfig):
        theirs: Any = getattr(given, field.name)
        ours: Any = getattr(wanted, field.name)
        same_kind = bool(theirs) == bool(ours)  # with or without context
        if theirs != ours and not (field.name in _MAY_DIFFER and same_kind):
            raise CheckpointError(name, f"a network of {field.name} {ours!r}", repr(theirs))
