"""Reads weights in torch's formats (`.bin`, `.pth`), without torch.

Since torch 1.6, a file is a zip archive: `NAME/data.pkl` is a pickle of the state dict, in which
every tensor refers to a storage, and `NAME/data/KEY` are the bytes of the storages. Older files are
a sequence of pickles (magic number, version, machine description, state dict, keys of the storages)
followed, for each key, by the length of a storage and its bytes.
"""

import functools
import math
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.formats.zip_files import stored_members
from spectrodiff.checkpoints.layouts.safe_pickle import Label, Labels, read_pickle
from spectrodiff.checkpoints.tree import StoredArray, checked_shape, shown_name
from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.definition import Shape

STORAGE_TYPES: dict[str, Any] = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
}
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # 0x1950a86a20f9469cfc6c, pickled
OLD_VERSION = 1001
MAX_PICKLE_BYTES = 8 << 20  # the largest model's names and shapes take a few hundred kilobytes
# Values between those of a tensor that are read with them: a tensor can be a column of a wider one,
# such as one of the four gates of an LSTM.
MAX_GAP_BYTES, MAX_GAP_RATIO = 8 << 20, 3


class _Storage(NamedTuple):
    """Bytes that one or more tensors are views of."""

    key: str
    dtype: np.dtype[Any]
    length: int


class _Tensor(NamedTuple):
    """Strided view of a storage; offset and strides are in elements."""

    storage: _Storage
    offset: int
    shape: Shape
    strides: tuple[int, ...]


def read_torch_file(path: Path) -> dict[str, StoredArray]:
    """Returns the tensors of a state dict by name.

    Raises:
        CheckpointError: if the file is in another format, is damaged, or contains other objects.
    """
    file = WeightsFile(path)
    with file.open() as opened:
        is_archive = zipfile.is_zipfile(opened)
        opened.seek(0)
        is_old = opened.read(len(OLD_MAGIC)) == OLD_MAGIC
    if is_archive:
        return _read_archive(file)
    if is_old:
        return _read_old_file(file)
    raise CheckpointError(path, "a file in a torch format", "an incomplete file or another format")


class _Place(NamedTuple):
    """Bytes of a storage.

    Attributes:
        size: number of bytes.
        read: reads a range, given its start and its size in bytes.
    """

    size: int
    read: Callable[[int, int], bytes]


def _read_archive(file: WeightsFile) -> dict[str, StoredArray]:
    path, members = file.path, stored_members(file)
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1 or members[pickles[0]].size > MAX_PICKLE_BYTES:
        raise CheckpointError(path, "a torch archive", "an archive without a valid data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    byteorder = members.get(f"{folder}byteorder")  # since torch 2.1; before, little-endian
    if byteorder and byteorder.read(0, min(byteorder.size, 16)) != b"little":
        raise CheckpointError(path, "little-endian tensors", "another byte order")
    pickled = members[pickles[0]]
    pickled.read(0, pickled.size)  # compares its checksum
    with file.open() as stream:
        stream.seek(pickled.start())
        state = read_pickle(file, stream, _LABELS, _storage)

    def find(storage: _Storage) -> _Place | None:
        member = members.get(f"{folder}data/{storage.key}")
        return None if member is None else _Place(member.size, member.read)

    return _stored_arrays(path, state, find)


def _read_old_file(file: WeightsFile) -> dict[str, StoredArray]:
    path = file.path
    storages: dict[str, _Storage] = {}

    def note_storage(reference: Any) -> _Storage:
        *reference, _view = reference  # views of storages are obsolete
        storage = _storage(tuple(reference))
        return storages.setdefault(storage.key, storage)

    with file.open() as stream:
        _, version, machine, state, keys = (
            read_pickle(file, stream, _LABELS, note_storage) for _ in range(5)
        )
        if version != OLD_VERSION or not isinstance(machine, dict) or not isinstance(keys, list):
            raise CheckpointError(
                path, f"torch's format of version {OLD_VERSION}", "another version"
            )
        if machine.get("little_endian") is not True:
            raise CheckpointError(path, "little-endian tensors", "another byte order")
        places: dict[str, _Place] = {}
        for key in keys:
            storage = storages.get(key) if isinstance(key, str) else None
            head = stream.read(8)
            if storage is None or len(head) < 8 or head != struct.pack("<q", storage.length):
                raise CheckpointError(path, "a complete torch file", "an incomplete or damaged one")
            start, size = stream.tell(), storage.length * storage.dtype.itemsize
            places[key] = _Place(
                min(size, file.size - start), functools.partial(_read_range, file, start)
            )
            stream.seek(size, os.SEEK_CUR)
    return _stored_arrays(path, state, lambda storage: places.get(storage.key))


def _read_range(file: WeightsFile, storage_at: int, start: int, size: int) -> bytes:
    return file.read(storage_at + start, size)


def _stored_arrays(
    path: Path, state: Any, find: Callable[[_Storage], _Place | None]
) -> dict[str, StoredArray]:
    if not isinstance(state, dict):
        raise CheckpointError(path, "a dict of tensors", f"a {type(state).__name__}")
    return {name: _stored(path, name, value, find) for name, value in state.items()}


def _stored(
    path: Path, name: str, tensor: Any, find: Callable[[_Storage], _Place | None]
) -> StoredArray:
    if not isinstance(tensor, _Tensor):
        expected = f"{shown_name(name)} to be a tensor"
        raise CheckpointError(path, expected, f"a {type(tensor).__name__}")
    storage, offset, shape, strides = tensor
    wanted = storage.length * storage.dtype.itemsize
    place = find(storage)
    if place is None or place.size != wanted:
        got = "none" if place is None else str(place.size)
        raise CheckpointError(path, f"{wanted} bytes of {shown_name(name)}", got)
    count, item = math.prod(shape), storage.dtype.itemsize
    span = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if count and offset + span > storage.length:
        expected = f"{shown_name(name)} to be within its storage"
        raise CheckpointError(path, expected, f"shape {shape}")
    if count and (span - count) * item > max(MAX_GAP_RATIO * count * item, MAX_GAP_BYTES):
        expected = f"{shown_name(name)} as values close to each other"
        raise CheckpointError(path, expected, f"{count:,} of {span:,}")

    def read() -> np.ndarray:
        data = place.read(offset * item, span * item) if count else b""
        flat = np.frombuffer(data, storage.dtype)
        return np.lib.stride_tricks.as_strided(
            flat, shape, [stride * item for stride in strides], writeable=False
        )

    return StoredArray(shape, read)


def _storage(reference: Any) -> _Storage:
    kind, label, key, _device, length = reference
    if kind != "storage" or not isinstance(label, Label) or not isinstance(key, str):
        raise TypeError("a persistent id of another kind")
    (length,) = checked_shape((length,))
    return _Storage(key, np.dtype(STORAGE_TYPES[label.name]), length)


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *_gradients: Any
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise TypeError("a tensor without storage")
    (offset,) = checked_shape((offset,))
    if len(checked_shape(shape)) != len(checked_shape(strides)):
        raise ValueError("a tensor with another number of strides than axes")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_gradients: Any) -> Any:
    return tensor


_LABELS: Labels = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    **dict.fromkeys(STORAGE_TYPES),
}
