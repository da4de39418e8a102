"""Reads `.safetensors` files one array at a time, and writes them."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.tree import StoredArray, checked_shape
from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.constants import StoredType
from spectrodiff.core.errors import CheckpointError, OutputError, first_line
from spectrodiff.models.definition import Shape

# Names and shapes of the largest models take a tenth of it.
MAX_HEADER_BYTES = 2 << 20

# What the format calls the types of elements.
_TYPES: Mapping[str, np.dtype[Any]] = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BOOL": np.dtype(np.bool_),
    **{f"F{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}
_CODES: Mapping[StoredType, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_METADATA = "__metadata__"
_LENGTH = struct.Struct("<Q")  # of the header


def read_safetensors(path: Path) -> dict[str, StoredArray]:
    """Returns the arrays of a file by name.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
    """
    file = WeightsFile(path)
    begin, header = _read_header(file)
    header.pop(_METADATA, None)
    arrays: dict[str, StoredArray] = {}
    end = 0
    try:
        # Arrays follow each other without gaps.
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            kind, shape = _TYPES[entry["dtype"]], checked_shape(tuple(entry["shape"]))
            start, end = end, end + math.prod(shape) * kind.itemsize
            if entry["data_offsets"] != [start, end]:
                raise ValueError("arrays that are not side by side")
            arrays[name] = _stored(file, begin + start, shape, kind)
        if begin + end != file.size:
            raise ValueError(f"{file.size - begin:,} bytes of {end:,}")
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    return arrays


def read_metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of a file.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
    """
    _, header = _read_header(WeightsFile(path))
    metadata = header.get(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _damaged(path, "metadata that are no texts")
    return metadata


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
            stored[name] = np.ascontiguousarray(values, _TYPES[_CODES[dtype]])
        if dtype == "float16" and not np.isfinite(stored[name]).all():
            raise CheckpointError(
                name, "values within the range of float16", "larger ones: store it as float32"
            )
    try:
        _save(stored, path, _CODES[dtype], metadata)
    except OSError as error:
        got = first_line(error)
        raise OutputError(subject or path, "enough space for the weights", got) from None


def _save(
    arrays: Mapping[str, np.ndarray], path: Path, dtype: str, metadata: dict[str, str] | None
) -> None:
    """Writes arrays of one type by name, as the library does; it ignores errors of closing."""
    header: dict[str, Any] = {_METADATA: metadata} if metadata else {}
    end = 0
    for name in sorted(arrays):
        start, end = end, end + arrays[name].nbytes
        shape = list(arrays[name].shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(_LENGTH.pack(len(text)) + text)
        for name in sorted(arrays):
            file.write(arrays[name].reshape(-1).view(np.uint8).data)


def _read_header(file: WeightsFile) -> tuple[int, dict[str, Any]]:
    """Returns the position of the first array, and the entries of the header by name."""
    if file.size < _LENGTH.size:
        raise _damaged(file.path, f"{file.size} bytes")
    (length,) = _LENGTH.unpack(file.read(0, _LENGTH.size))
    if length > min(MAX_HEADER_BYTES, file.size - _LENGTH.size):
        raise _damaged(file.path, f"a header of {length:,} bytes in {file.size:,}")
    try:
        header = json.loads(file.read(_LENGTH.size, length).decode())
    except (ValueError, RecursionError) as error:
        raise _damaged(file.path, str(error)) from None
    if not isinstance(header, dict):
        raise _damaged(file.path, "a header without names")
    return _LENGTH.size + length, header


def _stored(file: WeightsFile, start: int, shape: Shape, kind: np.dtype[Any]) -> StoredArray:
    def read() -> np.ndarray:
        data = file.read(start, math.prod(shape) * kind.itemsize)
        return np.frombuffer(data, kind).reshape(shape) if data else np.empty(shape, kind)

    return StoredArray(shape, read)


def _damaged(path: Path, reason: str) -> CheckpointError:
    got = f"another format or a damaged file ({reason[:200]})"
    return CheckpointError(path, "a complete safetensors file of floats", got)
