"""Our layout: a folder with settings, weights and optionally an inverter.

`model.json` holds the settings and the size of every other file, `model.safetensors` the parameters
by the names of `expected_shapes`, and `inverter.onnx` or `inverter.safetensors` the inverter.
"""

import json
import reprlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spectrodiff.checkpoints.layouts.safetensors_file import read_safetensors, write_safetensors
from spectrodiff.checkpoints.model import Checkpoint, as_json, read_description, read_formatted
from spectrodiff.checkpoints.tree import assemble, expected_shapes, flatten
from spectrodiff.core.constants import StoredType
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import atomic_folder

SETTINGS, WEIGHTS = "model.json", "model.safetensors"
INVERTERS = ("inverter.onnx", "inverter.safetensors")


def find_model(path: Path) -> Path | None:
    """Returns `path` if it is a folder in our layout."""
    return path if (path / SETTINGS).is_file() else None


def model_files(files: Sequence[str]) -> list[str]:
    """Returns the files of a model in our layout among those of a Hub repository."""
    # Other libraries have a file of the same name as our settings.
    ours = [name for name in (SETTINGS, WEIGHTS, *INVERTERS) if name in files]
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
    with atomic_folder(folder) as partial:
        write_safetensors(partial / WEIGHTS, flatten(checkpoint.params), dtype, subject=folder)
        names = [WEIGHTS]
        if checkpoint.inverter is not None:
            name = INVERTERS[checkpoint.inverter.suffix.lower() == ".safetensors"]
            shutil.copyfile(checkpoint.inverter, partial / name)
            names.append(name)
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
        inverter=next((folder / name for name in INVERTERS if name in files), None),
        **description._asdict(),
    )


def _first_tokenization(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the tokenization settings of format 1, which has only the velocity bins."""
    return {"velocity_bins": settings.get("velocity_bins")}


def _check_files(folder: Path, sizes: Any) -> set[str]:
    if not isinstance(sizes, dict) or not {WEIGHTS} <= sizes.keys() <= {WEIGHTS, *INVERTERS}:
        raise CheckpointError(folder / SETTINGS, f"the size of {WEIGHTS}", reprlib.repr(sizes))
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            got = f"{path.stat().st_size}" if path.is_file() else "no file"
            raise CheckpointError(path, f"{reprlib.repr(size)} bytes", got)
    return set(sizes)
