"""Our own layout: a folder with the settings, the weights and, if there is one, the inverter.

`model.json` holds the settings and the size of every other file, `model.safetensors` the parameters
under the names of `expected_shapes`, `inverter.onnx` what turns features into audio.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.description import as_json, read_description, read_formatted
from spectrodiff.checkpoints.layouts.safetensors_file import read_safetensors
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import assemble, expected_shapes, flatten
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.core.files import atomic_folder

SETTINGS, WEIGHTS, INVERTER = "model.json", "model.safetensors", "inverter.onnx"

StoredType = Literal["float32", "float16", "bfloat16"]
_TYPES: dict[str, Any] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}


def find_model(path: Path) -> Path | None:
    """Returns `path` if it is a folder in our layout."""
    return path if (path / SETTINGS).is_file() else None


def save_model(checkpoint: Checkpoint, folder: Path, dtype: StoredType = "float32") -> None:
    """Writes a checkpoint to a new folder in our layout.

    Args:
        checkpoint: what to write.
        folder: where to; it must not exist or be empty.
        dtype: how to keep the parameters. They are float32 again when loaded: half the size costs
            precision, not compatibility.

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
            raise OutputError(folder, "room for the weights", str(error)) from None
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
        CheckpointError: if anything is missing, left over, damaged or of a later format.
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
    """The tokenization in a `model.json` of format 1, which knew only the velocity bins."""
    return {"velocity_bins": settings.get("velocity_bins")}


def _cast(checkpoint: Checkpoint, dtype: StoredType) -> dict[str, np.ndarray]:
    arrays = {}
    for name, values in flatten(checkpoint.params).items():
        # A parameter that overflows is refused below; the warning would say less.
        with np.errstate(over="ignore"):
            arrays[name] = np.ascontiguousarray(values, _TYPES[dtype])
        if dtype == "float16" and not np.isfinite(arrays[name]).all():
            raise CheckpointError(name, "values that float16 can hold", "larger ones; use bfloat16")
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
