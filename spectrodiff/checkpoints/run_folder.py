"""The folder of a training run, read as a model: no flags that have to match, it says what it is.

`run.json` holds the settings, `checkpoints/STEP/` the arrays as Orbax keeps them. The running
average of the parameters is preferred where there is one.
"""

from pathlib import Path
from typing import Any, get_args

import numpy as np

from spectrodiff.checkpoints.checkpoint import Checkpoint, Params
from spectrodiff.checkpoints.settings import choose, model_config, read_json, read_settings
from spectrodiff.checkpoints.tree import expected_shapes, flatten, nest
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import ScheduleName
from spectrodiff.errors import CheckpointError
from spectrodiff.tokenization import Tokenization

# Format 1 has the tokenization among the settings of network and data, and no sampling.
FORMATS = (1, 2)
SETTINGS, CHECKPOINTS = "run.json", "checkpoints"
# Parts of a checkpoint; each can be read without the others.
PARAMS, AVERAGE = "params", "ema"
_FIRST_IN_DATA = ("ties", "program_map", "trim_overlaps")


def find_run(path: Path) -> Path | None:
    """Returns `path` if it is a run's folder, or one checkpoint in it (RUN/checkpoints/STEP)."""
    return path if (run_of(path) / SETTINGS).is_file() else None


def run_of(path: Path) -> Path:
    """The folder of the run that a folder is, or is a checkpoint of."""
    return path.absolute().parent.parent if path.name.isdigit() else path


def import_run(path: Path, step: int | None = None) -> Checkpoint:
    """Reads a run's model.

    Args:
        path: the run's folder, or one of its checkpoints.
        step: which checkpoint; by default the one that `path` is, or else the newest.

    Raises:
        CheckpointError: if the settings or arrays are missing or damaged.
    """
    source = run_of(path) / SETTINGS
    settings = read_json(source)
    version = choose(source, "format", settings.get("format"), {n: n for n in FORMATS})
    sizes = settings.get("model")
    if not isinstance(sizes, dict):
        raise CheckpointError(source, "the sizes of a network", repr(sizes))
    config = model_config(source, **sizes)
    if version == 1:
        settings["tokenization"], settings["sampling"] = first_tokenization(settings), {}
    folder = checkpoint_of(path, step)
    shapes = expected_shapes(config)
    return Checkpoint(
        config=config,
        params=read_params(folder, shapes),
        prediction=_choice(source, settings, "prediction", get_args(Prediction)),
        schedule=_choice(source, settings, "schedule", get_args(ScheduleName)),
        tokenization=read_settings(source, Tokenization, settings.get("tokenization")),
        sampling=read_settings(source, Sampling, settings.get("sampling")),
        layout=f"training run, step {folder.name}",
    )


def first_tokenization(settings: dict[str, Any]) -> dict[str, Any]:
    """The tokenization in a `run.json` of format 1, under the names of `Tokenization`."""
    given = settings.get("settings")
    data = given.get("Data") if isinstance(given, dict) else None
    data = data if isinstance(data, dict) else {}
    found = {name: data[name] for name in _FIRST_IN_DATA if name in data}
    return {**found, "velocity_bins": settings.get("velocity_bins")}


def read_params(
    folder: Path, shapes: dict[str, tuple[int, ...]], *, partly: bool = False
) -> Params:
    """Reads the parameters of one checkpoint to the host, the running average if there is one.

    Args:
        folder: a checkpoint, RUN/checkpoints/STEP.
        shapes: what must be there, by name.
        partly: whether more may be there, which is not read.

    Raises:
        CheckpointError: if it is not.
    """
    from orbax.checkpoint import v1 as ocp

    part = AVERAGE if (folder / AVERAGE).is_dir() else PARAMS
    host: Any = np.ndarray  # makes Orbax read to the host, with no demands on devices
    wanted = nest(dict.fromkeys(shapes, host))
    context = ocp.Context()
    context.pytree.loading.partial_load = partly
    try:
        with context:
            params = ocp.load_checkpointables(folder, {part: wanted})[part]
    except Exception as error:  # Orbax has many, and the reason is in their causes
        raise unreadable(folder, error) from error
    found = {name: array.shape for name, array in flatten(params).items()}
    for name, shape in shapes.items():
        if found[name] != shape:
            raise CheckpointError(folder, f"{name} of shape {shape}", f"shape {found[name]}")
    return params


def unreadable(folder: Path, error: BaseException) -> CheckpointError:
    """What is wrong with a checkpoint: the innermost reason, which Orbax hides in causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return CheckpointError(folder, "a checkpoint of this network", reason[0])


def checkpoint_of(path: Path, step: int | None = None) -> Path:
    """The checkpoint of a run that is meant.

    Args:
        path: the run's folder, or one of its checkpoints.
        step: which one; by default that which `path` is, or else the newest.

    Raises:
        CheckpointError: if there is none.
    """
    run = run_of(path)
    if step is None and path.name.isdigit():
        step = int(path.name)
    folder = run.absolute() / CHECKPOINTS  # Orbax takes no other
    steps = sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())
    if not steps:
        raise CheckpointError(run, "a checkpoint", "a run that has not saved any yet")
    if step is not None and step not in steps:
        raise CheckpointError(run, f"a checkpoint of step {step}", f"steps {steps}")
    return folder / str(steps[-1] if step is None else step)


def _choice(path: Path, settings: dict[str, Any], name: str, choices: tuple[Any, ...]) -> Any:
    return choose(path, name, settings.get(name), dict(zip(choices, choices, strict=True)))
