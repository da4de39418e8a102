"""Reads `.safetensors` files one array at a time, and writes them."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.tree import StoredArray
from spectrodiff.core.constants import StoredType
from spectrodiff.core.errors import CheckpointError, OutputError

_TYPES: Mapping[StoredType, Any] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
_DTYPES: Mapping[StoredType, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def read_safetensors(path: Path) -> dict[str, StoredArray]:
    """Returns the arrays of a file by name.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
    """
    with _open(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    def stored(name: str) -> StoredArray:
        def read() -> np.ndarray:
            # Opened again, since pages read through a memory map stay in memory.
            with _open(path) as file:
                return file.get_tensor(name)

        return StoredArray(shapes[name], read)

    return {name: stored(name) for name in shapes}


def read_metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of a file.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
    """
    with _open(path) as file:
        return dict(file.metadata() or {})


def write_safetensors(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    dtype: StoredType = "float32",
    metadata: dict[str, str] | None = None,
    *,
    subject: Path | None = None,
) -> None:
    """Writes arrays to a file.

    Args:
        path: file to write.
        arrays: floats by name.
        dtype: type that they are stored in.
        metadata: texts by name.
        subject: file or folder that errors name; the file if None.

    Raises:
        CheckpointError: if a value is too large for float16.
        OutputError: if the file cannot be written.
    """
    stored = {}
    for name, values in arrays.items():
        # Overflow is reported below.
        with np.errstate(over="ignore"):
            stored[name] = np.ascontiguousarray(values, _TYPES[dtype])
        if dtype == "float16" and not np.isfinite(stored[name]).all():
            raise CheckpointError(
                name, "values within the range of float16", "larger ones: store it as float32"
            )
    try:
        _save(stored, path, _DTYPES[dtype], metadata)
    except OSError as error:
        got = error.strerror or str(error)
        raise OutputError(subject or path, "enough space for the weights", got) from None


def _save(
    arrays: Mapping[str, np.ndarray], path: Path, dtype: str, metadata: dict[str, str] | None
) -> None:
    """Writes arrays of one type by name, as the library does; it ignores errors of closing."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name in sorted(arrays):
        start, end = end, end + arrays[name].nbytes
        shape = list(arrays[name].shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(arrays):
            file.write(arrays[name].reshape(-1).view(np.uint8).data)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as file:
            yield file
    except (OSError, TypeError, ValueError, safetensors.SafetensorError) as error:
        got = f"another format or a damaged file ({error})"
        raise CheckpointError(path, "a complete safetensors file of floats", got) from None
