"""Reads weights that torch wrote (`.bin`), without torch.

Since torch 1.6 such a file is a zip archive: `NAME/data.pkl` is a pickle of the state dict, in
which every tensor refers to a storage, and `NAME/data/KEY` are the bytes of the storages.
"""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.safe_pickle import Label, Labels, read_pickle
from spectrodiff.checkpoints.tree import Shape, StoredArray, checked_shape
from spectrodiff.errors import CheckpointError

STORAGE_TYPES: dict[str, Any] = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
}
MAX_PICKLE_BYTES = 64 << 20  # the largest model's names and shapes take a few hundred kilobytes


class _Storage(NamedTuple):
    """The bytes that one or more tensors are views of."""

    key: str
    dtype: np.dtype[Any]
    length: int


class _Tensor(NamedTuple):
    """A strided view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: Shape
    strides: tuple[int, ...]


def read_torch_file(path: Path) -> dict[str, StoredArray]:
    """Returns the tensors of a state dict by name.

    Raises:
        CheckpointError: if the file is not such an archive, is damaged, or holds anything else.
    """
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            path,
            "the zip archive that torch writes since version 1.6",
            "a file that is cut off, is no archive, or is older (load and save it with torch)",
        )
    with _open(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.endswith("/data.pkl")]
        if len(pickles) != 1 or members[pickles[0]].file_size > MAX_PICKLE_BYTES:
            raise CheckpointError(path, "a torch archive", "an archive without a usable data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        byteorder = f"{folder}byteorder"  # written since torch 2.1, little-endian before
        if byteorder in members and _read(path, archive, members[byteorder]) != b"little":
            raise CheckpointError(path, "little-endian tensors", "others")
        state = read_pickle(_read(path, archive, members[pickles[0]]), path, _LABELS, _storage)
    if not isinstance(state, dict):
        raise CheckpointError(path, "a dict of tensors", f"a {type(state).__name__}")
    return {name: _stored(path, name, value, folder, members) for name, value in state.items()}


def _stored(
    path: Path, name: str, tensor: Any, folder: str, members: dict[str, zipfile.ZipInfo]
) -> StoredArray:
    if not isinstance(tensor, _Tensor):
        raise CheckpointError(path, f"{name!r} to be a tensor", f"a {type(tensor).__name__}")
    storage, offset, shape, strides = tensor
    member = members.get(f"{folder}data/{storage.key}")
    wanted = storage.length * storage.dtype.itemsize
    if member is None or member.file_size != wanted:
        got = "none" if member is None else str(member.file_size)
        raise CheckpointError(path, f"{wanted} bytes of {name!r}", got)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.length:
        raise CheckpointError(path, f"{name!r} to lie inside its storage", f"shape {shape}")

    def read() -> np.ndarray:
        with _open(path) as archive:
            flat = np.frombuffer(_read(path, archive, member), storage.dtype)
        return np.lib.stride_tricks.as_strided(
            flat[offset:], shape, [stride * flat.itemsize for stride in strides], writeable=False
        )

    return StoredArray(shape, read)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(path, "a whole torch archive", str(error)) from None


def _read(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        data = archive.read(member)
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(path, f"a whole {member.filename}", f"damage ({error})") from None
    if len(data) != member.file_size:
        raise CheckpointError(path, f"a whole {member.filename}", f"{len(data)} bytes of it")
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
