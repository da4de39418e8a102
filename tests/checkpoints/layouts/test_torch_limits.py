"""Torch files that are small, or true to their format, and would take gigabytes or for ever."""

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.torch_file import read_torch_file
from spectrodiff.checkpoints.tree import assemble_tree
from spectrodiff.core.errors import CheckpointError
from tests.support.checkpoint_writers import torch_pickle, write_old_torch, write_torch
from tests.support.limits import MEGABYTE, Limited

# Of a storage in a file with a gap, of which no byte is on the disk.
GAP_ELEMENTS = 1 << 29


@pytest.fixture(scope="module")
def limited():
    with Limited(read_torch_file.__module__, memory_bytes=60 * MEGABYTE) as child:
        yield child


def load(path, shapes):
    """The parameters of a file in which they have the names of a network."""
    return assemble_tree(path, shapes, {name: name for name in shapes}, read_torch_file(path))


def write_compressed(path, pickled, storage, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", storage)


def write_with_gap(path, tensors):
    """An old file with one storage of `GAP_ELEMENTS` zeros."""
    write_old_torch(path, torch_pickle(tensors, old=True), {"0": b""})
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(struct.pack("<q", GAP_ELEMENTS))
        file.seek(4 * GAP_ELEMENTS, os.SEEK_CUR)
        file.truncate()


def test_compressed_storages(limited, tmp_path):
    path, elements = tmp_path / "a.bin", 18 * MEGABYTE
    pickled = torch_pickle({"x": ("FloatStorage", "0", elements, 0, (3,), (1,))})
    write_compressed(path, pickled, bytes(4 * elements))
    assert path.stat().st_size < MEGABYTE
    with pytest.raises(CheckpointError, match="uncompressed"):
        limited.run(load, path, {"x": (3,)})


def test_a_compressed_pickle(limited, tmp_path):
    path = tmp_path / "a.bin"
    write_compressed(path, b"\x80\x02" + b"}" * (40 * MEGABYTE) + b".", b"")
    with pytest.raises(CheckpointError, match="uncompressed"):
        limited.run(load, path, {"x": (3,)})


def test_a_large_pickle(limited, tmp_path):
    path = tmp_path / "a.bin"
    write_torch(path, b"\x80\x02" + b"}" * (40 * MEGABYTE) + b".", {})
    with pytest.raises(CheckpointError, match="valid data"):
        limited.run(load, path, {"x": (3,)})


def test_tensors_of_a_far_larger_storage(limited, tmp_path):
    path = tmp_path / "a.pth"
    names = [f"x{number}" for number in range(300)]
    write_with_gap(
        path, dict.fromkeys(names, ("FloatStorage", "0", GAP_ELEMENTS, 9, (2, 3), (3, 1)))
    )
    params = limited.run(load, path, dict.fromkeys(names, (2, 3)))
    for name in names:
        np.testing.assert_array_equal(params[name], np.zeros((2, 3)))


def test_values_far_from_each_other(limited, tmp_path):
    path = tmp_path / "a.pth"
    strides = (GAP_ELEMENTS // 2,)
    write_with_gap(path, {"x": ("FloatStorage", "0", GAP_ELEMENTS, 0, (2,), strides)})
    with pytest.raises(CheckpointError, match="x as values close to each other"):
        limited.run(load, path, {"x": (2,)})


def test_a_row_that_is_repeated(limited, tmp_path):
    # The shape is the network's, and the memory too.
    path = tmp_path / "a.bin"
    tensors = {"x": ("FloatStorage", "0", 3, 0, (1 << 20, 3), (0, 1))}
    write_torch(path, torch_pickle(tensors), {"0": np.float32([1, 2, 3]).tobytes()})
    assert limited.run(load, path, {"x": (1 << 20, 3)})["x"][-1].tolist() == [1, 2, 3]
    with pytest.raises(CheckpointError, match="of shape"):
        limited.run(load, path, {"x": (3,)})


def end_record(directory_bytes, members=1):
    """The end of an archive without comment."""
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, members, members, directory_bytes, 0, 0)


def test_an_endless_directory(limited, tmp_path):
    path, size = tmp_path / "a.bin", (4 << 30) - MEGABYTE
    with path.open("wb") as file:
        file.seek(size)
        file.write(end_record(size))
    with pytest.raises(CheckpointError, match="a directory of more than"):
        limited.run(load, path, {"x": (3,)})


def test_hundreds_of_thousands_of_members(limited, tmp_path):
    path = tmp_path / "a.bin"
    entry = struct.pack("<4s4B4H3L5H2L", b"PK\x01\x02", *[0] * 11, 1, *[0] * 6) + b"a"
    path.write_bytes(entry * 300_000 + end_record(len(entry) * 300_000, members=65535))
    with pytest.raises(CheckpointError, match="a directory of more than"):
        limited.run(load, path, {"x": (3,)})


@pytest.mark.parametrize("change", ["encrypted", "compressed size", "size", "position", "name"])
def test_directories_that_lie(tmp_path, change):
    path = tmp_path / "a.bin"
    tensors = {"x": ("FloatStorage", "0", 3, 0, (3,), (1,))}
    write_torch(path, torch_pickle(tensors), {"0": bytes(12), "1": bytes(12)})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"PK\x01\x02"))  # that of storage 0
    at, code, value = {
        "encrypted": (8, "<H", 1),
        "compressed size": (20, "<L", 11),
        "size": (20, "<LL", (1 << 31, 1 << 31)),
        "position": (42, "<L", 1),
        "name": (46 + len("weights/data/"), "<c", b"1"),
    }[change]
    struct.pack_into(code, data, entry + at, *(value if isinstance(value, tuple) else (value,)))
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as error:
        load(path, {"x": (3,)})
    assert error.value.subject == str(path)


def test_a_file_that_is_replaced_while_it_is_read(tmp_path):
    path = tmp_path / "a.bin"
    for replacement in (b"", bytes(2_000), None):
        tensors = {"x": ("FloatStorage", "0", 3, 0, (3,), (1,))}
        write_torch(path, torch_pickle(tensors), {"0": bytes(12)})
        arrays = read_torch_file(path)
        path.unlink()
        if replacement is not None:
            path.write_bytes(replacement)
        with pytest.raises(CheckpointError, match=r"nothing changes|No such file"):
            arrays["x"].read()


def test_long_names_are_shortened(tmp_path):
    path = tmp_path / "a.bin"
    write_torch(path, pickle.dumps({"a\x1b" * 2_000: 1}, 2), {})
    with pytest.raises(CheckpointError, match=r"a\\x1ba\\x1b") as error:
        read_torch_file(path)
    assert len(str(error.value)) < 1_000
