"""Reads weights in torch's formats (`.bin`, `.pth`), without torch.

Since torch 1.6, a file is a zip archive: `NAME/data.pkl` is a pickle of the state dict, in which
every tensor refers to a storage, and `NAME/data/KEY` are the bytes of the storages. Older files are
a sequence of pickles (magic number, version, machine description, state dict, keys of the storages)
followed, for each key, by the length of a storage and its bytes.
"""

import functools
import math
import os
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.layouts.safe_pickle import Label, Labels, read_pickle
from spectrodiff.checkpoints.tree import StoredArray, checked_shape
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
MAX_PICKLE_BYTES = 64 << 20  # the largest model's names and shapes take a few hundred kilobytes


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
    if zipfile.is_zipfile(path):
        return _read_archive(path)
    with path.open("rb") as file:
        is_old = file.read(len(OLD_MAGIC)) == OLD_MAGIC
    if is_old:
        return _read_old_file(path)
    raise CheckpointError(path, "a file in a torch format", "an incomplete file or another format")


# Size of a storage in bytes, and the function that reads it.
_Place = tuple[int, Callable[[], bytes]]


def _read_archive(path: Path) -> dict[str, StoredArray]:
    with _open(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.endswith("/data.pkl")]
        if len(pickles) != 1 or members[pickles[0]].file_size > MAX_PICKLE_BYTES:
            raise CheckpointError(path, "a torch archive", "an archive without a valid data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        byteorder = f"{folder}byteorder"  # present since torch 2.1; before, little-endian
        if byteorder in members and _read(path, archive, members[byteorder]) != b"little":
            raise CheckpointError(path, "little-endian tensors", "another byte order")
        state = read_pickle(_read(path, archive, members[pickles[0]]), path, _LABELS, _storage)

    def find(storage: _Storage) -> _Place | None:
        member = members.get(f"{folder}data/{storage.key}")

        def read() -> bytes:
            with _open(path) as archive:
                return _read(path, archive, member)  # type: ignore[arg-type]

        return None if member is None else (member.file_size, read)

    return _stored_arrays(path, state, find)


def _read_old_file(path: Path) -> dict[str, StoredArray]:
    storages: dict[str, _Storage] = {}

    def note_storage(reference: Any) -> _Storage:
        *reference, _view = reference  # views of storages are obsolete
        storage = _storage(tuple(reference))
        return storages.setdefault(storage.key, storage)

    with path.open("rb") as file:
        _, version, machine, state, keys = (
            read_pickle(_next_pickle(path, file), path, _LABELS, note_storage) for _ in range(5)
        )
        if version != OLD_VERSION or not isinstance(machine, dict) or not isinstance(keys, list):
            raise CheckpointError(
                path, f"torch's format of version {OLD_VERSION}", "another version"
            )
        if machine.get("little_endian") is not True:
            raise CheckpointError(path, "little-endian tensors", "another byte order")
        file_bytes = path.stat().st_size
        places: dict[str, _Place] = {}
        for key in keys:
            storage = storages.get(key) if isinstance(key, str) else None
            head = file.read(8)
            if storage is None or len(head) < 8 or head != struct.pack("<q", storage.length):
                raise CheckpointError(path, "a complete torch file", "an incomplete or damaged one")
            start, size = file.tell(), storage.length * storage.dtype.itemsize
            places[key] = (
                min(size, file_bytes - start),
                functools.partial(_read_range, path, start, size),
            )
            file.seek(size, os.SEEK_CUR)
    return _stored_arrays(path, state, lambda storage: places.get(storage.key))


def _next_pickle(path: Path, file: BinaryIO) -> bytes:
    """Reads the pickle at the current position of the file."""
    start = file.tell()
    try:
        for _ in pickletools.genops(file):
            pass
    except (ValueError, OverflowError, MemoryError, UnicodeDecodeError) as error:
        raise CheckpointError(path, "a complete torch file", f"damage ({error})") from None
    size = file.tell() - start
    if size > MAX_PICKLE_BYTES:
        raise CheckpointError(path, "a pickle of names and shapes", f"{size:,} bytes")
    file.seek(start)
    return file.read(size)


def _read_range(path: Path, start: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)
    except OSError as error:
        raise CheckpointError(path, "a readable file", error.strerror or str(error)) from None


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
        raise CheckpointError(path, f"{name!r} to be a tensor", f"a {type(tensor).__name__}")
    storage, offset, shape, strides = tensor
    wanted = storage.length * storage.dtype.itemsize
    place = find(storage)
    if place is None or place[0] != wanted:
        got = "none" if place is None else str(place[0])
        raise CheckpointError(path, f"{wanted} bytes of {name!r}", got)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.length:
        raise CheckpointError(path, f"{name!r} to be within its storage", f"shape {shape}")
    _, read_bytes = place

    def read() -> np.ndarray:
        flat = np.frombuffer(read_bytes(), storage.dtype)
        return np.lib.stride_tricks.as_strided(
            flat[offset:], shape, [stride * flat.itemsize for stride in strides], writeable=False
        )

    return StoredArray(shape, read)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(path, "a complete torch archive", str(error)) from None


def _read(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        data = archive.read(member)
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(path, f"a complete {member.filename}", f"damage ({error})") from None
    if len(data) != member.file_size:
        raise CheckpointError(path, f"a complete {member.filename}", f"{len(data)} bytes")
    return data


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
