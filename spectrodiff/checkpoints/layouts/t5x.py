"""Import of T5X checkpoints, the layout of the original release.

`checkpoint` is a msgpack of the training state. It contains small parameters as arrays, and large
ones as TensorStore specs with the path of a zarr array beside the file. The rest of a spec is the
storage at the time of writing, for example a bucket, and is ignored.
"""

import math
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.formats.msgpack_tree import Extension, Span, read_msgpack
from spectrodiff.checkpoints.formats.zarr_array import open_zarr
from spectrodiff.checkpoints.layouts.gin_file import GinFile
from spectrodiff.checkpoints.layouts.names import t5x_sources
from spectrodiff.checkpoints.layouts.t5x_settings import read_t5x_settings
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import StoredArray, assemble, checked_shape, shown_name
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.files import open_regular
from spectrodiff.models.config import NetworkKind
from spectrodiff.models.definition import Shape

FILE_NAME, CONFIG = "checkpoint", "config.gin"
_AUTOREGRESSIVE_SIGN = "decoder/layers_0/encoder_decoder_attention/query/kernel"
_STEP_FOLDER = re.compile(r"checkpoint_([0-9]{1,18})")
_NAME_CHARACTERS = 1000  # the longest name of the released models has 66
_NDARRAY_EXTENSION = 1  # flax's code for an array in a msgpack
_TYPES = {
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    **{name: np.dtype(name) for name in ("float16", "float32", "float64", "int32", "int64")},
}


def find_t5x(path: Path) -> Path | None:
    """Returns `path` if it is a checkpoint, or the newest `checkpoint_STEP` in it."""
    if (path / FILE_NAME).is_file():
        return path
    steps = [
        (int(match[1]), folder)
        for folder in path.iterdir()
        if (match := _STEP_FOLDER.fullmatch(folder.name)) and (folder / FILE_NAME).is_file()
    ]
    return max(steps)[1] if steps else None


def t5x_files(files: Sequence[str]) -> list[str]:
    """Returns the files of the newest T5X checkpoint among those of a Hub repository."""
    steps = {
        int(match[1]): folder
        for folder, _, name in (file.partition("/") for file in files)
        if name == FILE_NAME and (match := _STEP_FOLDER.fullmatch(folder))
    }
    if not steps:
        return []
    newest = steps[max(steps)]
    return [file for file in files if file == CONFIG or file.startswith(f"{newest}/")]


def import_t5x(folder: Path) -> Checkpoint:
    """Reads the folder of one step; `config.gin` is in it or beside it.

    Raises:
        CheckpointError: if files, arrays or settings are missing, unknown, damaged or unsupported.
    """
    gin = GinFile(_find_config(folder))
    stored = read_t5x_arrays(folder)
    has_context = any(name.startswith("continuous_encoder/") for name in stored)
    # The configuration does not state the kind, but the names of cross-attentions differ.
    kind: NetworkKind = "autoregressive" if _AUTOREGRESSIVE_SIGN in stored else "diffusion"
    description = read_t5x_settings(gin, kind, has_context=has_context)
    config = description.config
    return Checkpoint(
        params=assemble(folder, config, t5x_sources(config), stored),
        layout="T5X",
        **description._asdict(),
    )


def read_t5x_arrays(folder: Path) -> dict[str, StoredArray]:
    """Returns the parameters of a T5X checkpoint by name, the levels joined by "/".

    Raises:
        CheckpointError: if the file or an array is missing, damaged or of an unknown kind.
    """
    path = folder / FILE_NAME
    try:
        target = read_msgpack(path, _NDARRAY_EXTENSION)["optimizer"]["target"]
    except (KeyError, TypeError):
        raise CheckpointError(path, "a T5X training state", "other content") from None
    except OSError as error:
        raise CheckpointError(path, "a readable file", first_line(error)) from None
    except ValueError as error:
        raise _damaged(path, error) from None
    return dict(_leaves(path, target, ""))


def _leaves(path: Path, node: Any, name: str) -> Iterator[tuple[str, StoredArray]]:
    if isinstance(node, Extension):
        yield name, _packed_array(path, node)
    elif isinstance(node, dict) and "driver" in node:
        yield name, open_zarr(_place(path, node, name))
    elif isinstance(node, dict):
        for key, value in node.items():
            longer = f"{name}/{key}" if name else str(key)
            if len(longer) > _NAME_CHARACTERS:
                raise CheckpointError(path, "names of parameters", shown_name(longer))
            yield from _leaves(path, value, longer)
    else:
        raise CheckpointError(path, f"{name!r} to be an array", f"a {type(node).__name__}")


def _packed_array(path: Path, packed: Extension) -> StoredArray:
    try:
        axes, type_name, values = packed.content
        shape, dtype = checked_shape(tuple(axes)), _TYPES[type_name]
        if not isinstance(values, Span) or values.size != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"a wrong number of bytes for an array of shape {shape}")
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None
    return StoredArray(shape, lambda: _read_span(path, values.offset, shape, dtype))


def _read_span(path: Path, offset: int, shape: Shape, dtype: np.dtype) -> np.ndarray:
    values = np.empty(shape, dtype)
    try:
        with open_regular(path) as file:
            file.seek(offset)
            count = file.readinto(values.reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise CheckpointError(path, "a readable file", first_line(error)) from None
    if count < values.nbytes:
        raise _damaged(path, ValueError("it has become shorter"))
    return values


def _place(path: Path, spec: Mapping[str, Any], name: str) -> Path:
    """Returns the folder of an array. The rest of a spec could refer to any storage."""
    store = spec.get("kvstore")
    place = spec.get("path") or (store.get("path") if isinstance(store, dict) else None)
    relative = PurePosixPath(place if isinstance(place, str) else "")
    if spec["driver"] != "zarr" or relative.is_absolute() or ".." in relative.parts or not place:
        raise CheckpointError(
            path, f"{name!r} to name a zarr array beside the file", reprlib.repr(spec)
        )
    return path.parent / relative


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        path, "a complete msgpack of a training state", f"a damaged one ({error})"
    )


def _find_config(folder: Path) -> Path:
    for place in (folder, folder.parent):
        if (place / CONFIG).is_file():
            return place / CONFIG
    raise CheckpointError(folder.parent / CONFIG, "the configuration of the run", "no file")
