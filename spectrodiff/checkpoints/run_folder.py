"""The folder of a training run, read as a model: no flags that have to match, it says what it is.

`run.json` holds the settings, `checkpoints/STEP/` the arrays as Orbax keeps them. The running
average of the parameters is preferred where there is one.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectrodiff.checkpoints.damage import damage
from spectrodiff.checkpoints.description import read_description, read_formatted
from spectrodiff.checkpoints.model import Checkpoint, Params
from spectrodiff.checkpoints.tree import expected_shapes, flatten, nest
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.json_files import read_json

logger = logging.getLogger(__name__)

SETTINGS, CHECKPOINTS = "run.json", "checkpoints"
# Parts of a checkpoint; each can be read without the others.
PARAMS, AVERAGE = "params", "ema"
_FIRST_IN_DATA = ("ties", "program_map", "trim_overlaps")


def find_run(path: Path) -> Path | None:
    """Returns `path` if it is a run's folder, or one checkpoint in it (RUN/checkpoints/STEP)."""
    return path if (run_of(path) / SETTINGS).is_file() else None


def run_of(path: Path) -> Path:
    """The folder of the run that a folder is, or is a checkpoint of; else the folder itself."""
    return _whereabouts(path)[0]


def _whereabouts(path: Path) -> tuple[Path, Path | None]:
    """The folder of a run, and the one of its checkpoints that is meant, if one is.

    A run has a run.json, and a checkpoint lies in the folder `checkpoints` beside one: what either
    is called does not matter.
    """
    if (path / SETTINGS).is_file():
        return path, None
    for place in (path.absolute(), path.resolve()):
        run = place.parent.parent
        if place.parent.name == CHECKPOINTS and (run / SETTINGS).is_file():
            return run, place
    return path, None


def steps_of(folder: Path) -> list[int]:
    """The steps of the checkpoints in RUN/checkpoints, oldest first, damaged ones included."""
    names = [path.name for path in folder.glob("*") if path.is_dir()]
    # A name has to be the one that the step would be given: `²` is a digit too.
    return sorted(
        int(name)
        for name in names
        if name.isascii() and name.isdecimal() and str(int(name)) == name
    )


def import_run(path: Path, step: int | None = None) -> Checkpoint:
    """Reads a run's model.

    Args:
        path: the run's folder, or one of its checkpoints.
        step: which checkpoint; by default the one that `path` is, or else the newest whole one.

    Raises:
        CheckpointError: if the settings or arrays are missing or damaged.
    """
    source = run_of(path) / SETTINGS
    description = read_description(source, read_formatted(source), first_tokenization)
    folder, params = read_params(path, expected_shapes(description.config), step=step)
    layout = f"training run, step {folder.name}"
    return Checkpoint(params=params, layout=layout, **description._asdict())


def first_tokenization(settings: dict[str, Any]) -> dict[str, Any]:
    """The tokenization in a `run.json` of format 1, under the names of `Tokenization`."""
    given = settings.get("settings")
    data = given.get("Data") if isinstance(given, dict) else None
    data = data if isinstance(data, dict) else {}
    found = {name: data[name] for name in _FIRST_IN_DATA if name in data}
    return {**found, "velocity_bins": settings.get("velocity_bins")}


class Read(NamedTuple):
    """Parameters and where they were found."""

    folder: Path
    params: Params


def read_params(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    *,
    step: int | None = None,
    partly: bool = False,
) -> Read:
    """Reads the parameters of one checkpoint to the host, the running average if there is one.

    Where no checkpoint is named and the newest is damaged, the one before it is read, with a
    warning; one that is whole but does not fit is an error.

    Args:
        path: the folder of a run, or one of its checkpoints.
        shapes: what must be there, by name.
        step: which checkpoint; by default that which `path` is, or else the newest whole one.
        partly: whether more may be there, which is not read.

    Raises:
        CheckpointError: if it is not.
    """
    folders = checkpoints_of(path, step)
    average = _keeps_average(run_of(path))
    wrong: dict[Path, str] = {}
    for folder in folders:
        part = AVERAGE if average or (folder / AVERAGE).is_dir() else PARAMS
        found = damage(folder, [part])
        if found is not None:
            wrong[folder] = found
            continue
        for bad, reason in wrong.items():
            logger.warning("%s is damaged (%s): step %s is read instead", bad, reason, folder.name)
        return Read(folder, _read_part(folder, part, shapes, partly))
    newest = folders[0]
    raise damaged(newest, wrong[newest], others=len(folders) - 1)


def _read_part(folder: Path, part: str, shapes: dict[str, tuple[int, ...]], partly: bool) -> Params:
    from orbax.checkpoint import v1 as ocp

    host: Any = np.ndarray  # makes Orbax read to the host, with no demands on devices
    wanted = nest(dict.fromkeys(shapes, host))
    context = ocp.Context()
    context.pytree.loading.partial_load = partly
    try:
        with context:
            params: Params = ocp.load_checkpointables(folder, {part: wanted})[part]
    except Exception as error:  # Orbax has many, and the reason is in their causes
        raise unreadable(folder, error) from error
    found = {name: array.shape for name, array in flatten(params).items()}
    for name, shape in shapes.items():
        if found[name] != shape:
            raise CheckpointError(folder, f"{name} of shape {shape}", f"shape {found[name]}")
    return params


def _keeps_average(run: Path) -> bool:
    """Tells if the settings of a run say that its checkpoints hold a running average."""
    settings = read_json(run / SETTINGS).get("settings")
    optimization = settings.get("Optimization") if isinstance(settings, dict) else None
    return isinstance(optimization, dict) and optimization.get("ema_decay") is not None


def damaged(folder: Path, reason: str, *, others: int) -> CheckpointError:
    """The error to raise where no checkpoint is whole.

    Args:
        folder: the newest checkpoint.
        reason: what is wrong with it.
        others: how many older ones are damaged too.
    """
    got = f"a damaged one ({reason})"
    return CheckpointError(
        folder, "a whole checkpoint", f"{got}, as are the {others} before it" if others else got
    )


def unreadable(folder: Path, error: BaseException) -> CheckpointError:
    """Returns an error that names the innermost cause, which Orbax hides in a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return CheckpointError(folder, "a checkpoint of this network", reason[0])


def checkpoints_of(path: Path, step: int | None = None) -> list[Path]:
    """The checkpoints of a run that may be meant, the best first.

    Args:
        path: the run's folder, or one of its checkpoints.
        step: which one; by default that which `path` is, or else all of them, newest first.

    Raises:
        CheckpointError: if there is none.
    """
    run, named = _whereabouts(path)
    folder = run.absolute() / CHECKPOINTS  # Orbax takes no other
    if step is None and named is not None:
        return [named]
    steps = steps_of(folder)
    if not steps:
        raise CheckpointError(run, "a checkpoint", "a run that has not saved any yet")
    if step is not None and step not in steps:
        raise CheckpointError(run, f"a checkpoint of step {step}", f"steps {steps}")
    return [folder / str(chosen) for chosen in (reversed(steps) if step is None else [step])]
