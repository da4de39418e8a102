"""Where a run begins: at random parameters, at a model's, or where it was left."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spectrodiff.checkpoints import open_checkpoint
from spectrodiff.checkpoints.tree import flatten, nest
from spectrodiff.core.errors import CheckpointError
from spectrodiff.inverter.config import as_dict
from spectrodiff.inverter.files import GENERATOR, load_inverter
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.vocabulary import Vocabulary
from spectrodiff.training.optimizers import FIXED
from spectrodiff.training.state import Params, TrainState
from spectrodiff.training.task import Objective

logger = logging.getLogger(__name__)

# What two networks may differ in although one begins with the other's parameters. Segments of other
# lengths need other position tables, which are drawn and not learnt; embeddings go by their events.
_MAY_DIFFER = {"dropout", "vocabulary_size", "note_tokens", "target_frames", "context_frames"}
EMBEDDING = "note_encoder/embedding"


def check_restored(run: Path, found: TrainState, wanted: TrainState) -> None:
    """Makes sure that the state of a run that goes on is all that its steps need.

    Orbax answers with what was saved, whatever was asked for; and versions may differ in which
    parameters which part of an optimiser is for.

    Args:
        run: folder of the run.
        found: the restored state.
        wanted: the abstract state.

    Raises:
        CheckpointError: if an array is missing, or there is one too many.
    """
    theirs, ours = (
        {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)}
        for state in (found, wanted)
    )
    if different := sorted(theirs ^ ours):
        raise CheckpointError(
            run,
            f"a training state of {len(ours)} arrays, as this version keeps it",
            f"one of {len(theirs)}, which differ in {different[0]} (it cannot go on: "
            f"begin another run with --init_from {run})",
        )


def initial_params(
    objective: Objective,
    seed: int,
    init_from: str | None = None,
    *,
    velocity_bins: int | None = None,
) -> Params:
    """Parameters before the first step, as host arrays, the same in every process.

    Args:
        objective: knows the network.
        seed: of the random initialisation.
        init_from: a model to begin with instead, as `spectrodiff.load` takes it.
        velocity_bins: V of the run's vocabulary; must be given if a synthesiser begins with
            another.

    Raises:
        CheckpointError: if that model cannot be read, or is of another size.
    """
    params: Params = jax.tree.map(np.asarray, jax.device_get(objective.init_params(seed)))
    if init_from is None:
        return params
    if not isinstance(objective.config, ModelConfig):
        return _with_inverter(init_from, params)
    assert velocity_bins is not None
    checkpoint = open_checkpoint(init_from)
    theirs = checkpoint.tokenization.velocity_bins
    _check_config(init_from, checkpoint.config, objective.config)
    if checkpoint.config.vocabulary_size < (rows := Vocabulary(theirs).embedding_rows):
        expected = f"a vocabulary_size of {rows} for {theirs} velocity bins"
        raise CheckpointError(init_from, expected, str(checkpoint.config.vocabulary_size))
    begin, own = flatten(checkpoint.params), flatten(params)
    if theirs != velocity_bins:
        change = f"{theirs} velocity bins go by event into a vocabulary of {velocity_bins}"
        logger.info("%s: embeddings of %s", init_from, change)
    begin[EMBEDDING] = carried_embedding(
        begin[EMBEDDING], own[EMBEDDING], Vocabulary(theirs), Vocabulary(velocity_bins)
    )
    for name, values in own.items():
        if begin[name].shape == values.shape:
            continue
        assert name.endswith(FIXED)
        # With the same seed the longer of two tables begins with the shorter one.
        logger.warning("%s: %s drawn anew for %d rows", init_from, name, len(values))
        begin[name] = values
    return nest({name: np.asarray(begin[name]) for name in own})


def carried_embedding(
    before: np.ndarray, fresh: np.ndarray, theirs: Vocabulary, ours: Vocabulary
) -> np.ndarray:
    """A trained embedding in a network of another vocabulary: rows go by what they stand for.

    Args:
        before: of the trained network, float [rows, D].
        fresh: of the new network before training, float [rows, D]; keeps what no event has.
        theirs: vocabulary of the trained network.
        ours: vocabulary of the new one.

    Returns:
        Float32 [rows, D] of the new network. A velocity that was not known begins as the nearest
        that was.
    """
    if theirs == ours and before.shape == fresh.shape:
        return np.array(before, np.float32)
    ids = ours.ids_in(theirs)
    values = np.array(fresh, np.float32)
    values[: len(ids)] = before[ids]
    return values


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
