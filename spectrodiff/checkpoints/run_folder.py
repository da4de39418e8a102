"""Run folders, read as models; the settings are those in the folder.

`run.json` holds the settings, `checkpoints/STEP/` the arrays in Orbax's format. The running average
of the parameters is preferred if there is one.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectrodiff.checkpoints.formats.orbax_part import Found, brief_reason, read_part
from spectrodiff.checkpoints.model import Checkpoint, read_description, read_formatted
from spectrodiff.checkpoints.tree import check_memory, expected_shapes, flatten, nest
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.files import check_tree
from spectrodiff.core.json_files import json_of, read_json
from spectrodiff.models.definition import Params, Shape

logger = logging.getLogger(__name__)

SETTINGS, CHECKPOINTS = "run.json", "checkpoints"
# Parts of a checkpoint; each can be read separately.
PARAMS, AVERAGE = "params", "ema"
# Tokenization settings that format 1 keeps among those of the data.
_TOKENIZATION_IN_DATA = ("ties", "program_map", "trim_overlaps")

# Descriptions of runs have some hundred bytes per array; of those, only the newest are tried.
MAX_DESCRIPTION_BYTES, MAX_TRIED = 1 << 22, 16
# Arrays that are not asked for, such as those of a discriminator, in relation to those that are.
_OTHERS = 100


def find_run(path: Path) -> Path | None:
    """Returns `path` if it is a run folder or one of its checkpoints (RUN/checkpoints/STEP)."""
    return path if (run_of(path) / SETTINGS).is_file() else None


def run_of(path: Path) -> Path:
    """Returns the run folder of a checkpoint, or else the folder itself."""
    return _locate(path)[0]


def _locate(path: Path) -> tuple[Path, Path | None]:
    """Returns the run folder, and the checkpoint in it if `path` is one.

    A run folder contains run.json, and a checkpoint is in the folder `checkpoints` beside it; the
    names of run and checkpoint do not matter.
    """
    if (path / SETTINGS).is_file():
        return path, None
    for place in (path.absolute(), path.resolve()):
        run = place.parent.parent
        if place.parent.name == CHECKPOINTS and (run / SETTINGS).is_file():
            return run, place
    return path, None


def steps_of(folder: Path) -> list[int]:
    """Returns the steps of the checkpoints in RUN/checkpoints, ascending, damaged ones included."""
    names = [path.name for path in folder.glob("*") if path.is_dir()]
    # The name has to be the canonical one: `²` is a digit too.
    return sorted(
        int(name)
        for name in names
        if name.isascii() and name.isdecimal() and str(int(name)) == name
    )


def import_run(path: Path, step: int | None = None) -> Checkpoint:
    """Reads the model of a run.

    Args:
        path: run folder, or one of its checkpoints.
        step: step of the checkpoint; by default that of `path`, or the newest undamaged one.

    Raises:
        CheckpointError: if settings or arrays are missing or damaged.
    """
    source = run_of(path) / SETTINGS
    description = read_description(source, read_formatted(source), first_tokenization)
    folder, params = read_params(path, expected_shapes(description.config), step=step)
    layout = f"training run, step {folder.name}"
    return Checkpoint(params=params, layout=layout, **description._asdict())


def first_tokenization(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the tokenization settings in a `run.json` of format 1, by the newer names."""
    given = settings.get("settings")
    data = given.get("Data") if isinstance(given, dict) else None
    data = data if isinstance(data, dict) else {}
    found = {name: data[name] for name in _TOKENIZATION_IN_DATA if name in data}
    return {**found, "velocity_bins": settings.get("velocity_bins")}


class Read(NamedTuple):
    """Parameters and the checkpoint they were read from."""

    folder: Path
    params: Params


def read_params(
    path: Path, shapes: dict[str, Shape], *, step: int | None = None, partly: bool = False
) -> Read:
    """Reads the parameters of one checkpoint to the host, the running average if there is one.

    If no checkpoint is given and the newest is damaged, the one before it is read, with a warning;
    an undamaged one that does not match is an error.

    Args:
        path: run folder, or one of its checkpoints.
        shapes: expected shapes by name.
        step: step of the checkpoint; by default that of `path`, or the newest undamaged one.
        partly: ignore other arrays in the checkpoint.

    Raises:
        CheckpointError: if no checkpoint can be read, or it does not match.
    """
    folders = checkpoints_of(path, step)[:MAX_TRIED]
    check_memory(path, shapes)
    size = sum(map(math.prod, shapes.values())) * np.dtype(np.float32).itemsize
    average = _keeps_average(run_of(path))
    wrong: dict[Path, str] = {}
    for folder in folders:
        part = AVERAGE if average or (folder / AVERAGE).is_dir() else PARAMS
        found = damage(folder, {part: size * _OTHERS if partly else size})
        if found is not None:
            wrong[folder] = found
            continue
        for bad, reason in wrong.items():
            logger.warning("%s is damaged (%s): step %s is read instead", bad, reason, folder.name)
        return Read(folder, _read_part(folder, part, shapes, partly))
    newest = folders[0]
    raise damaged(newest, wrong[newest], others=len(folders) - 1)


def _read_part(folder: Path, part: str, shapes: dict[str, Shape], partly: bool) -> Params:
    from orbax.checkpoint import v1 as ocp

    host: Any = np.ndarray  # makes Orbax read to the host, without requirements on devices
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
    """Returns True if the checkpoints of a run hold a running average, according to settings."""
    settings = read_json(run / SETTINGS).get("settings")
    optimization = settings.get("Optimization") if isinstance(settings, dict) else None
    return isinstance(optimization, dict) and optimization.get("ema_decay") is not None


def checkpoints_of(path: Path, step: int | None = None) -> list[Path]:
    """Returns the checkpoints of a run in order of preference.

    Args:
        path: run folder, or one of its checkpoints.
        step: step of the only one; by default that of `path`, or else all, newest first.

    Raises:
        CheckpointError: if there is none.
    """
    run, named = _locate(path)
    folder = run.absolute() / CHECKPOINTS  # Orbax requires absolute paths
    if step is None and named is not None:
        return [named]
    steps = steps_of(folder)
    if not steps:
        raise CheckpointError(run, "a checkpoint", "a run without any")
    if step is not None and step not in steps:
        raise CheckpointError(run, f"a checkpoint of step {step}", _listed(steps))
    return [folder / str(chosen) for chosen in (reversed(steps) if step is None else [step])]


def _listed(steps: list[int]) -> str:
    """Returns the steps as a phrase; of many, the first and the last."""
    return f"steps {steps if len(steps) <= MAX_TRIED else f'{steps[0]} to {steps[-1]}'}"


def damage(folder: Path, parts: Mapping[str, int]) -> str | None:
    """Reads all arrays of a checkpoint and returns a description of the first damage.

    A power cut or a faulty disk leaves empty, short or missing files. Orbax reports these in the
    same way as a checkpoint that does not match, so the files are first read without expectations,
    but for the size. No device is involved; one array is in memory at a time.

    Args:
        folder: checkpoint, RUN/checkpoints/STEP.
        parts: names of the parts to read, which are folders in it, with the bytes of their arrays.

    Returns:
        A phrase, or None without damage.

    Raises:
        CheckpointError: if arrays are larger than they may be, so that they were not read.
    """
    for part, most in parts.items():
        try:
            check_tree(folder / part)
            found = _read_whole(folder.absolute() / part, most)
        except Exception as error:
            found = Found(brief_reason(error))
        if found.damage is not None:
            return f"{part}: {found.damage}"
        if found.size > most:
            got = f"{found.size:,} bytes in {part}, more than {most:,}"
            raise CheckpointError(folder, "a checkpoint of this network", got)
    return None


def _read_whole(folder: Path, most: int) -> Found:
    if not folder.is_dir():
        return Found("no such folder")
    described = folder / "_METADATA"
    descriptions = [described, *sorted((folder / "array_metadatas").glob("*"))]
    others = (path for path in sorted(folder.iterdir()) if path.is_file())
    for path in (*descriptions, folder.parent / "_CHECKPOINT_METADATA", *others):
        if path.is_file() and path.stat().st_size > MAX_DESCRIPTION_BYTES:
            return Found(f"{path.name} is too large ({path.stat().st_size} bytes)")
    layout: Any = None
    for path in descriptions:
        if not path.is_file():
            return Found(f"no {path.name}")
        try:
            content = json_of(path, MAX_DESCRIPTION_BYTES)
        except ValueError:
            return Found(f"{path.name} is incomplete ({path.stat().st_size} bytes)")
        if path == described:
            layout = content
    if not isinstance(layout, dict):
        return Found(f"{described.name} does not describe arrays")
    if not (layout.get("use_ocdbt") and layout.get("use_zarr3")):
        return Found(f"{described.name} describes another layout than that of a run")
    return read_part(folder, most)


def damaged(folder: Path, reason: str, *, others: int) -> CheckpointError:
    """Returns the error for a run whose checkpoints are all damaged.

    Args:
        folder: newest checkpoint.
        reason: its damage.
        others: number of older checkpoints.
    """
    got = f"a damaged one ({reason})"
    return CheckpointError(
        folder,
        "an undamaged checkpoint",
        f"{got}, as are the {others} before it" if others else got,
    )


def unreadable(folder: Path, error: BaseException) -> CheckpointError:
    """Returns the error for a checkpoint, with the innermost cause of Orbax's error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return CheckpointError(folder, "a checkpoint of this network", first_line(error))
