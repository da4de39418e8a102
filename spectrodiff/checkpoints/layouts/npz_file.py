"""Reads numpy's `.npz` files one array at a time."""

import contextlib
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipInfo

import numpy as np

from spectrodiff.checkpoints.formats.zip_files import DAMAGE, open_archive
from spectrodiff.checkpoints.tree import FLOATS, StoredArray, checked_shape, shown_name
from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError, first_line

_SUFFIX = ".npy"
# Headers of later versions can be of any length; numpy writes them for structured arrays.
_VERSION = (1, 0)
# Those of plain arrays have 118 bytes. A list of types in 10,000 takes milliseconds.
_HEADER_BYTES = 1024
MAX_ARRAYS = 1000  # a network has 18


def read_npz(path: Path) -> dict[str, StoredArray]:
    """Returns the arrays of a file by name; a compressed one is unpacked no further than its shape.

    Raises:
        CheckpointError: if the file is damaged or contains other than arrays.
    """
    file = WeightsFile(path)
    with _damage_reported(path), file.open() as opened, open_archive(opened) as archive:
        arrays = {}
        if len(archive.infolist()) > MAX_ARRAYS:
            raise ValueError(f"{len(archive.infolist()):,} arrays, more than {MAX_ARRAYS:,}")
        for member in archive.infolist():
            with archive.open(member) as data:
                shape, kind = _read_header(data)
            arrays[member.filename.removesuffix(_SUFFIX)] = _stored(file, member, shape, kind)
    return arrays


def _stored(file: WeightsFile, member: ZipInfo, shape: Any, kind: np.dtype[Any]) -> StoredArray:
    def read() -> np.ndarray:
        if kind.newbyteorder("=") not in FLOATS:
            name = shown_name(member.filename)
            raise CheckpointError(file.path, f"{name} as floats", str(kind)[:80])
        with _damage_reported(file.path), file.open() as opened, open_archive(opened) as archive:
            with archive.open(member) as data:
                values: np.ndarray = np.lib.format.read_array(data, allow_pickle=False)
            return values

    return StoredArray(checked_shape(shape), read)


def _read_header(data: Any) -> tuple[Any, np.dtype[Any]]:
    if np.lib.format.read_magic(data) != _VERSION:
        raise ValueError("an array in another version of the format")
    shape, _, kind = np.lib.format.read_array_header_1_0(data, _HEADER_BYTES)
    return shape, kind


@contextlib.contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        yield
    # Headers are Python literals.
    except (*DAMAGE, MemoryError, SyntaxError, TypeError, tokenize.TokenError) as error:
        got = first_line(error)[:200]
        raise CheckpointError(path, "a complete npz file of arrays", got) from None
