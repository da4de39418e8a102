"""Reads arrays in the format zarr 2: a folder with a description, and a file per chunk.

The description is checked before a chunk is read, and a chunk is unpacked until it is full. A
library trusts both: chunks larger than memory would end the process.
"""

import io
import itertools
import math
import reprlib
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.tree import StoredArray, checked_shape
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.files import open_regular
from spectrodiff.core.json_files import json_of
from spectrodiff.models.definition import Shape

DESCRIPTION = ".zarray"
# Those of T5X have some hundred bytes, and chunks of 64 MiB that divide an array evenly.
MAX_DESCRIPTION_BYTES, MAX_CHUNK_BYTES, MAX_CHUNKS = 1 << 12, 1 << 27, 1 << 12

_TYPES = {
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    **{order + kind: np.dtype(order + kind) for order in "<>" for kind in ("f2", "f4", "f8")},
}
_WINDOW_BITS = {"gzip": 31, "zlib": 15}  # zlib's numbers of the two formats
_PIECE_BYTES = 1 << 20


class _Description(NamedTuple):
    shape: Shape
    chunks: Shape
    dtype: np.dtype
    separator: str
    compressor: str | None


def open_zarr(folder: Path) -> StoredArray:
    """Returns the array in a folder; its values are read on demand.

    Raises:
        CheckpointError: if the description is missing, invalid or unusual.
    """
    try:
        described = _checked(json_of(folder / DESCRIPTION, MAX_DESCRIPTION_BYTES))
    except (OSError, ValueError) as error:
        expected = "a zarr array as T5X writes it"
        raise CheckpointError(folder, expected, first_line(error)) from None
    return StoredArray(described.shape, lambda: _read(folder, described))


def _checked(values: Any) -> _Description:
    """Returns a description that was read from a file; ValueError if it is not supported."""
    if not isinstance(values, dict):
        raise ValueError(f"a {type(values).__name__} in {DESCRIPTION}")
    shape, chunks = (checked_shape(_as_tuple(values.get(name))) for name in ("shape", "chunks"))
    packed = values.get("compressor")
    compressor = packed.get("id") if isinstance(packed, dict) else packed
    separator = values.get("dimension_separator", ".")
    for name, value, choices in (
        ("zarr_format", values.get("zarr_format"), (2,)),
        ("dtype", values.get("dtype"), tuple(_TYPES)),
        ("order", values.get("order"), ("C",)),
        ("filters", values.get("filters"), (None, [])),
        ("dimension_separator", separator, (".", "/")),
        ("compressor", compressor, (None, *_WINDOW_BITS)),
    ):
        if value not in choices:
            raise ValueError(f"{name} = {reprlib.repr(value)}")
    inside = len(chunks) == len(shape) and all(
        1 <= chunk <= max(size, 1) for chunk, size in zip(chunks, shape, strict=True)
    )
    dtype = _TYPES[values["dtype"]]
    if not inside or math.prod(chunks) * dtype.itemsize > MAX_CHUNK_BYTES:
        raise ValueError(f"chunks of shape {chunks} in an array of shape {shape}")
    if math.prod(_counts(shape, chunks)) > MAX_CHUNKS:
        raise ValueError(f"more than {MAX_CHUNKS} chunks")
    return _Description(shape, chunks, dtype, separator, compressor)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _counts(shape: Shape, chunks: Shape) -> Shape:
    """Returns the number of chunks along each axis."""
    return tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))


def _read(folder: Path, described: _Description) -> np.ndarray:
    shape, chunks = described.shape, described.chunks
    values = np.empty(shape, described.dtype)
    try:
        for place in itertools.product(*map(range, _counts(shape, chunks))):
            starts = [index * size for index, size in zip(place, chunks, strict=True)]
            # With `...`, an array without axes is a view, too.
            inside: Any = (*map(slice, starts, np.add(starts, chunks).tolist()), ...)
            target = values[inside]
            # A chunk has its full size, also at the end of an axis.
            whole = target.flags.c_contiguous and target.shape == chunks
            chunk = target if whole else np.empty(chunks, described.dtype)
            name = described.separator.join(map(str, place)) or "0"
            with open_regular(folder / name) as file:
                _fill(chunk.reshape(-1).view(np.uint8), file, described.compressor)
            if not whole:
                target[...] = chunk[tuple(map(slice, target.shape))]
    except (OSError, ValueError, zlib.error) as error:
        raise CheckpointError(folder, "a complete zarr array", first_line(error)) from None
    return values


def _fill(chunk: np.ndarray, file: io.BufferedReader, compressor: str | None) -> None:
    """Reads a chunk, uint8 [n]; ValueError if the file holds less, or more."""
    filled, complete = 0, True
    if compressor is None:
        filled = file.readinto(chunk.data)
    else:
        unpacker = zlib.decompressobj(_WINDOW_BITS[compressor])
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or file.read(_PIECE_BYTES)
            if not packed:
                raise ValueError("an incomplete chunk")
            piece = unpacker.decompress(packed, _PIECE_BYTES)
            if filled + len(piece) > len(chunk):
                raise ValueError("a chunk that unpacks to more than its size")
            chunk[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
        complete = not unpacker.unused_data
    if filled < len(chunk) or not complete or file.read(1):
        raise ValueError(f"a chunk of another size than {len(chunk)} bytes")
