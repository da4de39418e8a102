"""Reads weights in Paddle's format (`.pdparams`), without Paddle.

Such a file is a pickle of a dict of numpy arrays. It may also contain a table from these names to
Paddle's own and, if an array was too large for the pickle protocol, flat pieces of the array and a
table for joining them.
"""

import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.checkpoints.layouts.safe_pickle import PickledArray, read_pickle
from spectrodiff.checkpoints.tree import StoredArray, checked_shape
from spectrodiff.core.errors import CheckpointError

NAME_TABLE = "StructuredToParameterName@@"
PIECES_TABLE = "UnpackBigParamInfor@@"


def read_paddle_file(path: Path) -> dict[str, StoredArray]:
    """Returns the arrays of a state dict by name; values are read on demand.

    Raises:
        CheckpointError: if the file is damaged or contains anything but arrays.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise CheckpointError(path, "a readable pickle", str(error)) from None
    state = read_pickle(memoryview(data), path)
    if not isinstance(state, dict):
        raise CheckpointError(path, "a dict of arrays", f"a {type(state).__name__}")
    state.pop(NAME_TABLE, None)
    pieces = state.pop(PIECES_TABLE, {})
    try:
        joined = {name: _join(state, row) for name, row in pieces.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            path, "complete arrays", f"pieces that do not match ({error})"
        ) from None
    arrays = joined | {name: _array(value, path, name).stored() for name, value in state.items()}
    return {name: _releasing(array, data) for name, array in arrays.items()}


def _array(value: Any, path: Path, name: str) -> PickledArray:
    # Tensors that are not part of a state dict are stored as (Paddle's name, array).
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    if not isinstance(value, PickledArray):
        raise CheckpointError(path, f"{name!r} to be an array", f"a {type(value).__name__}")
    return value


def _join(state: dict[str, Any], row: dict[str, Any]) -> StoredArray:
    """Removes the flat pieces of one array from `state` and returns the array."""
    shape = checked_shape(tuple(row["OriginShape"]))
    parts = [state.pop(name) for name in row["slices"]]
    if sum(part.shape[0] for part in parts) != math.prod(shape):
        raise ValueError(f"shape {shape}")
    return StoredArray(
        shape, lambda: np.concatenate([part.read() for part in parts]).reshape(shape)
    )


def _releasing(array: StoredArray, data: mmap.mmap) -> StoredArray:
    """Returns an array whose pages are released after reading."""

    def read() -> np.ndarray:
        values = array.read().copy()
        data.madvise(mmap.MADV_DONTNEED)
        return values

    return StoredArray(array.shape, read)
