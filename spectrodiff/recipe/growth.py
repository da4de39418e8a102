"""Initialization of a network from a smaller trained one."""

import dataclasses

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint, Params
from spectrodiff.checkpoints.tree import flatten, nest
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.vocabulary import Vocabulary
from spectrodiff.training.tasks.shared import EMBEDDING, carry_embedding

# Fields that may differ. Hidden units and lengths may only grow.
_MAY_DIFFER = {
    "mlp_width", "vocabulary_size", "note_tokens", "target_frames", "context_frames", "dropout",
}  # fmt: skip


def grow(
    name: str, given: Checkpoint, fresh: Params, config: ModelConfig, vocabulary: Vocabulary
) -> Params:
    """Returns the parameters of a trained network for one with more hidden units or more positions.

    New hidden units start without effect on the output. Each event keeps its embedding; a new
    velocity starts as the nearest known one. Position tables are those of the trained network;
    where the new network's are longer, they must start with the same rows.

    Args:
        name: of the trained network, for errors.
        given: the trained network.
        fresh: random parameters of the new network, host arrays.
        config: sizes of the new network.
        vocabulary: of the new network.

    Raises:
        CheckpointError: if the networks differ in another way.
    """
    _check(name, given.config, config)
    old, new = flatten(given.params), flatten(fresh)
    grown = {}
    for path, values in new.items():
        before, values = old[path], np.array(values, np.float32)
        if path == EMBEDDING:
            values = carry_embedding(before, values, given.tokenization.vocabulary, vocabulary)
        elif path.endswith("positions"):
            if len(before) >= len(values):
                values = before[: len(values)]
            elif not np.allclose(before, values[: len(before)], atol=2e-3):
                raise CheckpointError(name, f"{path} made with the same seed", "another table")
        elif before.shape == values.shape:
            values = before
        elif path.endswith(("gate/kernel", "up/kernel")):
            values[..., : before.shape[-1]] = before
        else:
            assert path.endswith("down/kernel")
            values = np.zeros_like(values)
            values[:, : before.shape[1]] = before
        grown[path] = np.asarray(values, np.float32)
    return nest(grown)


def _check(name: str, given: ModelConfig, wanted: ModelConfig) -> None:
    for field in dataclasses.fields(ModelConfig):
        theirs, ours = getattr(given, field.name), getattr(wanted, field.name)
        if theirs != ours and field.name not in _MAY_DIFFER:
            raise CheckpointError(name, f"a network of {field.name} {ours!r}", repr(theirs))
    if given.mlp_width > wanted.mlp_width:
        expected = f"a network of mlp_width {wanted.mlp_width} or less"
        raise CheckpointError(name, expected, str(given.mlp_width))
    if given.has_context != wanted.has_context:
        raise CheckpointError(name, "a network with context as well", "one without")
