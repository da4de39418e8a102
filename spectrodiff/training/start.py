"""First state of a run: random parameters, a model's, or those of the run's last checkpoint."""

from pathlib import Path

import jax
import numpy as np

from spectrodiff.core.errors import CheckpointError
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, Task


def check_restored(run: Path, found: TrainState, wanted: TrainState) -> None:
    """Checks that a restored state has all the arrays that the steps need.

    Orbax returns what was saved, whatever was asked for, and versions may differ in the arrays that
    an optimizer keeps.

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


def initial_params(task: Task, seed: int, init_from: str | None = None) -> Params:
    """Returns the parameters before the first step: host arrays, the same in every process.

    Args:
        task: what is trained.
        seed: of the random initialization.
        init_from: a model to start from instead.

    Raises:
        CheckpointError: if that model cannot be read, or is of another size.
    """
    params: Params = jax.tree.map(np.asarray, jax.device_get(task.init_params(seed)))
    return params if init_from is None else task.load_params(init_from, params)
