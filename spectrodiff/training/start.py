"""Start of a run: its model's settings, and its first state.

The first parameters are random, a model's, or those of the run's last checkpoint.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import numpy as np

from spectrodiff.checkpoints.model import Description, read_description, read_formatted
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.run_folder import CHECKPOINTS, SETTINGS, first_tokenization, steps_of
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.diffusion.sampling import Sampling, combine
from spectrodiff.models.config import ModelConfig
from spectrodiff.training.settings import Network
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, RunSettings, Task
from spectrodiff.training.tasks.autoregress import Autoregression
from spectrodiff.training.tasks.denoise import Diffusion

Settings = TypeVar("Settings")

# Settings of the network that say what the network is, unlike its dropout and initialization.
_SIZES = {field.name for field in dataclasses.fields(Network)} - {"dropout", "initialization"}


def with_settings_of(
    run: Path,
    init_from: str | None,
    settings: RunSettings,
    given: Mapping[type, Collection[str]],
) -> RunSettings:
    """Returns settings in which those of a model replace what was not given.

    If no sizes of the network are given, the network, the prediction, the noise schedule, the
    tokenization and the sampling are those of the model that training starts from, each setting
    that is not given. A run that is resumed keeps its own.

    Args:
        run: folder of the run.
        init_from: the model, as `spectrodiff.load` takes it; None for none.
        settings: of the run.
        given: names of the settings that were given, by class.

    Raises:
        CheckpointError: if the model cannot be read.
        ConfigError: if no sizes of the network are given, and no model.
    """
    renders_notes = isinstance(settings.task, Diffusion | Autoregression)
    if not renders_notes or _SIZES.intersection(given.get(Network, ())):
        return settings
    if steps_of(run / CHECKPOINTS):
        path = run / SETTINGS
        model = read_description(path, read_formatted(path), first_tokenization)
    elif init_from is not None:
        model = open_checkpoint(init_from).description
    else:
        expected = "MODEL, whose network is trained further, or settings of Network"
        raise ConfigError("--init_from", expected, "none")
    return _continued(settings, model, given)


def _continued(
    settings: RunSettings, model: Description, given: Mapping[type, Collection[str]]
) -> RunSettings:
    def completed(own: Settings, theirs: Mapping[str, Any]) -> Settings:
        chosen = given.get(type(own), ())
        changes = {name: value for name, value in theirs.items() if name not in chosen}
        return dataclasses.replace(cast(Any, own), **changes)

    sizes = {field.name for field in dataclasses.fields(ModelConfig)} & (_SIZES | {"dropout"})
    task = settings.task
    if isinstance(task, Diffusion):
        denoising = {"prediction": model.prediction, "schedule": model.schedule}
        if "prediction" not in given.get(Diffusion, ()):
            denoising["loss_target"] = model.prediction
        task = completed(task, denoising)
    return settings._replace(
        network=completed(settings.network, {name: getattr(model.config, name) for name in sizes}),
        task=task,
        tokenization=completed(settings.tokenization, dataclasses.asdict(model.tokenization)),
        sampling=_completed_sampling(settings.sampling, model.sampling, given.get(Sampling, ())),
    )


def _completed_sampling(own: Sampling, theirs: Sampling, chosen: Collection[str]) -> Sampling:
    changes = {name: value for name, value in vars(own).items() if name in chosen}
    # Times of other steps are dropped, and None is a choice, too.
    return Sampling(**{**combine(changes, vars(theirs)), **changes})


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
