"""Our layout: a folder with settings, weights and optionally an inverter.

`model.json` holds the settings and the size of every other file, `model.safetensors` the parameters
by the names of `expected_shapes`, and `inverter.onnx` the inverter.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.layouts.safetensors_file import read_safetensors
from spectrodiff.checkpoints.model import Checkpoint, as_json, read_description, read_formatted
from spectrodiff.checkpoints.tree import assemble, expected_shapes, flatten
from spectrodiff.core.constants import StoredType
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.core.files import atomic_folder

SETTINGS, WEIGHTS, INVERTER = "model.json", "model.safetensors", "inverter.onnx"

_TYPES: dict[str, Any] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}


def find_model(path: Path) -> Path | None:
    """Returns `path` if it is a folder in our layout."""
    return path if (path / SETTINGS).is_file() else None


def model_files(files: Sequence[str]) -> list[str]:
    """Returns the files of a model in our layout among those of a Hub repository."""
    # Other libraries have a file of the same name as our settings.
    ours = [name for name in (SETTINGS, WEIGHTS, INVERTER) if name in files]
    return ours if {SETTINGS, WEIGHTS} <= set(ours) else []


def save_model(checkpoint: Checkpoint, folder: Path, dtype: StoredType = "float32") -> None:
    """Writes a checkpoint to a new folder in our layout.

    Args:
        checkpoint: model to write.
        folder: new or empty folder.
        dtype: type of the stored parameters; they are converted to float32 when loaded, so that the
            16-bit types lose precision only.

    Raises:
        CheckpointError: if a parameter is too large for float16.
        OutputError: if the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with atomic_folder(folder) as partial:
        try:
            save_file(_cast(checkpoint, dtype), partial / WEIGHTS)
        except SafetensorError as error:
            raise OutputError(folder, "enough space for the weights", str(error)) from None
        names = [WEIGHTS]
        if checkpoint.inverter is not None:
            shutil.copyfile(checkpoint.inverter, partial / INVERTER)
            names.append(INVERTER)
        sizes = {name: (partial / name).stat().st_size for name in names}
        settings = {**as_json(checkpoint.description), "bytes": sizes}
        (partial / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")


def load_model(folder: Path) -> Checkpoint:
    """Reads a folder in our layout.

    Raises:
        CheckpointError: if files, arrays or settings are missing, unknown or damaged, or the format
            is unknown.
    """
    path = folder / SETTINGS
    values = read_formatted(path)
    description = read_description(path, values, _first_tokenization)
    files = _check_files(folder, values.get("bytes"))
    stored = read_safetensors(folder / WEIGHTS)
    names = {name: name for name in expected_shapes(description.config)}
    return Checkpoint(
        params=assemble(folder / WEIGHTS, description.config, names, stored),
        inverter=folder / INVERTER if INVERTER in files else None,
        **description._asdict(),
    )


def _first_tokenization(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the tokenization settings of format 1, which has only the velocity bins."""
    return {"velocity_bins": settings.get("velocity_bins")}


def _cast(checkpoint: Checkpoint, dtype: StoredType) -> dict[str, np.ndarray]:
    arrays = {}
    for name, values in flatten(checkpoint.params).items():
        # Overflow is reported below.
        with np.errstate(over="ignore"):
            arrays[name] = np.ascontiguousarray(values, _TYPES[dtype])
        if dtype == "float16" and not np.isfinite(arrays[name]).all():
            raise CheckpointError(
                name, "values within the range of float16", "larger ones; use bfloat16"
            )
    return arrays


def _check_files(folder: Path, sizes: Any) -> set[str]:
    if not isinstance(sizes, dict) or not {WEIGHTS} <= sizes.keys() <= {WEIGHTS, INVERTER}:
        raise CheckpointError(folder / SETTINGS, f"the size of {WEIGHTS}", repr(sizes))
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            got = f"{path.stat().st_size}" if path.is_file() else "no file"
            raise CheckpointError(path, f"{size} bytes", got)
    return set(sizes)
