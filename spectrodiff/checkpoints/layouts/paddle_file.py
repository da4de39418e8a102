"""Reads weights in Paddle's format (`.pdparams`), without Paddle.

Such a file is a pickle of a dict of numpy arrays. It may also contain a table from these names to
Paddle's own and, if an array was too large for the pickle protocol, flat pieces of the array and a
table for joining them.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.checkpoints.layouts.safe_pickle import PickledArray, read_pickle
from spectrodiff.checkpoints.tree import StoredArray, checked_shape, shown_name
from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError

NAME_TABLE = "StructuredToParameterName@@"
PIECES_TABLE = "UnpackBigParamInfor@@"


def read_paddle_file(path: Path) -> dict[str, StoredArray]:
    """Returns the arrays of a state dict by name; values are read on demand.

    Raises:
        CheckpointError: if the file is damaged or contains anything but arrays.
    """
    file = WeightsFile(path)
    with file.open() as stream:
        state = read_pickle(file, stream)
    if not isinstance(state, dict):
        raise CheckpointError(path, "a dict of arrays", f"a {type(state).__name__}")
    state.pop(NAME_TABLE, None)
    pieces = state.pop(PIECES_TABLE, {})
    try:
        joined = {name: _join(state, row) for name, row in pieces.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            path, "complete arrays", f"pieces that do not match ({str(error)[:200]})"
        ) from None
    return joined | {name: _array(value, path, name).stored() for name, value in state.items()}


def _array(value: Any, path: Path, name: str) -> PickledArray:
    # Tensors that are not part of a state dict are stored as (Paddle's name, array).
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    if not isinstance(value, PickledArray):
        raise CheckpointError(
            path, f"{shown_name(name)} to be an array", f"a {type(value).__name__}"
        )
    return value


def _join(state: dict[str, Any], row: dict[str, Any]) -> StoredArray:
    """Removes the flat pieces of one array from `state` and returns the array."""
    shape = checked_shape(tuple(row["OriginShape"]))
    parts = [_flat_piece(state, name) for name in row["slices"]]
    (kind,) = {part.dtype for part in parts}
    if sum(part.shape[0] for part in parts) != math.prod(shape):
        raise ValueError(f"shape {shape}")

    def read() -> np.ndarray:
        values, end = np.empty(shape, kind), 0
        flat = values.reshape(-1)
        for part in parts:
            start, end = end, end + part.shape[0]
            flat[start:end] = part.read()
        return values

    return StoredArray(shape, read)


def _flat_piece(state: dict[str, Any], name: Any) -> PickledArray:
    """Removes a piece of an array from `state` and returns it."""
    # Hashing something else than a text can take for ever: a pair of pairs of pairs.
    piece = state.pop(name) if isinstance(name, str) else None
    if not isinstance(piece, PickledArray) or len(piece.shape) != 1:
        raise TypeError("a piece that is no flat array")
    return piece
