"""Run folders, read as models; the settings are those in the folder.

`run.json` holds the settings, `checkpoints/STEP/` the arrays in Orbax's format. The running average
of the parameters is preferred if there is one.
"""

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint, read_description, read_formatted
from spectrodiff.checkpoints.tree import expected_shapes, flatten, nest
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.files import check_tree
from spectrodiff.core.json_files import read_json
from spectrodiff.models.definition import Params, Shape

logger = logging.getLogger(__name__)

SETTINGS, CHECKPOINTS = "run.json", "checkpoints"
# Parts of a checkpoint; each can be read separately.
PARAMS, AVERAGE = "params", "ema"
# Tokenization settings that format 1 keeps among those of the data.
_TOKENIZATION_IN_DATA = ("ties", "program_map", "trim_overlaps")

_ARRAY = "/zarr.json"
_DETAILS = re.compile(r" \[[\w ]+='")  # TensorStore appends, for example, [tensorstore_spec='...


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
        raise CheckpointError(run, f"a checkpoint of step {step}", f"steps {steps}")
    return [folder / str(chosen) for chosen in (reversed(steps) if step is None else [step])]


def damage(folder: Path, parts: Iterable[str]) -> str | None:
    """Reads all arrays of a checkpoint and returns a description of the first damage.

    A power cut or a faulty disk leaves empty, short or missing files. Orbax reports these in the
    same way as a checkpoint that does not match, so the files are first read without expectations.
    No other process and no device is involved; one array is in memory at a time.

    Args:
        folder: checkpoint, RUN/checkpoints/STEP.
        parts: names of the parts to read, which are folders in it.

    Returns:
        A phrase, or None without damage.
    """
    for part in parts:
        try:
            check_tree(folder / part)
            found = _damage_of_part(folder.absolute() / part)
        except Exception as error:  # TensorStore has many
            found = brief_reason(error)
        if found is not None:
            return f"{part}: {found}"
    return None


def _damage_of_part(folder: Path) -> str | None:
    if not folder.is_dir():
        return "no such folder"
    described = folder / "_METADATA"
    layout: Any = None
    for path in (described, *sorted((folder / "array_metadatas").glob("*"))):
        if not path.is_file():
            return f"no {path.name}"
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            return f"{path.name} is incomplete ({path.stat().st_size} bytes)"
        if path == described:
            layout = content
    if not isinstance(layout, dict):
        return f"{described.name} does not describe arrays"
    if not (layout.get("use_ocdbt") and layout.get("use_zarr3")):
        return None  # another layout than that of our runs; Orbax will report damage
    return _damage_of_arrays(folder)


def _damage_of_arrays(folder: Path) -> str | None:
    import tensorstore

    store = {"driver": "ocdbt", "base": folder.as_uri() + "/"}
    keys = tensorstore.KvStore.open(store).result().list().result()
    names = [key.decode().removesuffix(_ARRAY) for key in keys if key.decode().endswith(_ARRAY)]
    if not names:
        return "no arrays" if (folder / "manifest.ocdbt").is_file() else "no manifest.ocdbt"
    for name in names:
        spec = {
            "driver": "zarr3",
            "kvstore": {**store, "path": name + "/"},
            # By default, missing chunks are read as zeros.
            "fill_missing_data_reads": False,
        }
        tensorstore.open(spec, open=True, read=True).result().read().result()
    return None


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


def brief_reason(error: BaseException) -> str:
    """Returns the first line of a message without the details that TensorStore appends."""
    return _DETAILS.split(first_line(error), maxsplit=1)[0]
