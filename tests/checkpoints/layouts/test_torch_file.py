import pickle
import zipfile
from typing import ClassVar

import ml_dtypes
import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.torch_file import read_torch_file
from spectrodiff.core.errors import CheckpointError
from tests.support.checkpoint_writers import torch_pickle, write_old_torch, write_torch

VALUES = np.arange(12, dtype=np.float32)


@pytest.fixture
def torch_file(tmp_path):
    def write(tensors, storages=None):
        path = tmp_path / "weights.bin"
        write_torch(path, torch_pickle(tensors), storages or {"0": VALUES.tobytes()})
        return path

    return write


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "expected"),
    [
        (0, (3, 4), (4, 1), VALUES.reshape(3, 4)),
        (0, (4, 3), (1, 4), VALUES.reshape(3, 4).T),  # a transposed view, as `.T` saves it
        (4, (2, 2), (4, 1), VALUES.reshape(3, 4)[1:, :2]),
        (11, (1,), (1,), VALUES[11:]),
        (5, (), (), VALUES[5]),
        (0, (2, 3), (0, 1), np.stack([VALUES[:3]] * 2)),  # an expanded row
        (12, (0, 4), (4, 1), np.zeros((0, 4))),
    ],
)
def test_views_of_a_storage(torch_file, offset, shape, strides, expected):
    path = torch_file({"x": ("FloatStorage", "0", 12, offset, shape, strides)})
    array = read_torch_file(path)["x"]
    assert array.shape == shape
    np.testing.assert_array_equal(array.read(), expected)


def test_one_gate_of_four(torch_file):
    # Large enough that the other gates are not read with it as a matter of course.
    gates = np.arange(512 * 8192, dtype=np.float32).reshape(512, 8192)
    tensors = {"x": ("FloatStorage", "0", gates.size, 4096, (512, 2048), (8192, 1))}
    array = read_torch_file(torch_file(tensors, {"0": gates.tobytes()}))["x"]
    np.testing.assert_array_equal(array.read(), gates[:, 4096:6144])


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", np.float64),
        ("HalfStorage", np.float16),
        ("BFloat16Storage", ml_dtypes.bfloat16),
    ],
)
def test_element_types(torch_file, kind, dtype):
    path = torch_file({"x": (kind, "0", 12, 0, (12,), (1,))}, {"0": VALUES.astype(dtype).tobytes()})
    np.testing.assert_array_equal(read_torch_file(path)["x"].read().astype(np.float32), VALUES)


@pytest.mark.parametrize(
    "tensor",
    [
        ("FloatStorage", "0", 12, 0, (13,), (1,)),
        ("FloatStorage", "0", 12, 1, (3, 4), (4, 1)),
        ("FloatStorage", "0", 12, 0, (4, 3), (1, 5)),
        ("FloatStorage", "0", 12, 0, (2,), (100,)),
        ("FloatStorage", "0", 12, -1, (2,), (1,)),
        ("FloatStorage", "0", 12, 11, (2,), (-1,)),
        ("FloatStorage", "0", 12, 0, (3, 4), (4,)),
        ("FloatStorage", "0", 12, 0, (-1,), (1,)),
        ("FloatStorage", "0", 24, 0, (24,), (1,)),  # longer than the file's bytes
        ("FloatStorage", "0", -12, 0, (1,), (1,)),
        ("DoubleStorage", "0", 12, 0, (12,), (1,)),
        ("FloatStorage", "1", 12, 0, (12,), (1,)),
        ("FloatStorage", "../data.pkl", 12, 0, (12,), (1,)),
        ("ComplexFloatStorage", "0", 6, 0, (6,), (1,)),
    ],
)
def test_views_outside_their_storage(torch_file, tensor):
    path = torch_file({"x": tensor})
    with pytest.raises(CheckpointError) as error:
        read_torch_file(path)
    assert error.value.subject == str(path)


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_hostile_pickle_inside(tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "weights.bin"
    for protocol in (0, 2, 4):
        write_torch(path, pickle.dumps({"x": Touch(canary)}, protocol), {"0": b""})
        with pytest.raises(CheckpointError, match=r"which is not imported|instruction"):
            read_torch_file(path)
    assert not canary.exists()


def test_a_tensor_may_not_be_something_else(tmp_path):
    path = tmp_path / "weights.bin"
    for value in ([1], {"x": 1}, {"x": {"y": 2}}):
        write_torch(path, pickle.dumps(value, 2), {})
        with pytest.raises(CheckpointError, match="tensor"):
            read_torch_file(path)


class TestFilesOlderThanTheArchives:
    TENSORS: ClassVar = {
        "x": ("FloatStorage", "94021", 12, 0, (4, 3), (1, 4)),
        "y": ("FloatStorage", "7", 2, 1, (1,), (1,)),
        "row": ("FloatStorage", "94021", 12, 4, (4,), (1,)),
    }
    STORAGES: ClassVar = {
        "94021": VALUES.tobytes(),
        "7": np.array([5, 6], np.float32).tobytes(),
    }

    def write(self, path, pickled=None, **options):
        pickled = torch_pickle(self.TENSORS, old=True) if pickled is None else pickled
        write_old_torch(path, pickled, options.pop("storages", self.STORAGES), **options)
        return path

    def test_tensors(self, tmp_path):
        arrays = read_torch_file(self.write(tmp_path / "a.pth"))
        np.testing.assert_array_equal(arrays["x"].read(), VALUES.reshape(3, 4).T)
        np.testing.assert_array_equal(arrays["y"].read(), [6])
        np.testing.assert_array_equal(arrays["row"].read(), [4, 5, 6, 7])

    def test_cut_off_anywhere(self, tmp_path):
        path = self.write(tmp_path / "a.pth")
        data = path.read_bytes()
        for end in range(len(data)):
            path.write_bytes(data[:end])
            with pytest.raises(CheckpointError):
                read_torch_file(path)

    def test_storages_that_do_not_fit(self, tmp_path):
        for storages in (
            {"94021": VALUES.tobytes()},
            {"94021": VALUES[:-1].tobytes(), "7": bytes(8)},
            {**self.STORAGES, "8": bytes(4)},
        ):
            with pytest.raises(CheckpointError, match=r"a\.pth"):
                read_torch_file(self.write(tmp_path / "a.pth", storages=storages))

    def test_other_byte_order(self, tmp_path):
        with pytest.raises(CheckpointError, match="little-endian"):
            read_torch_file(self.write(tmp_path / "a.pth", little_endian=False))

    def test_hostile_pickle_inside(self, tmp_path):
        canary = tmp_path / "canary"
        path = self.write(tmp_path / "a.pth", pickle.dumps({"x": Touch(canary)}, 2))
        with pytest.raises(CheckpointError, match=r"which is not imported|instruction"):
            read_torch_file(path)
        assert not canary.exists()


def test_big_endian_tensors(tmp_path):
    path = tmp_path / "weights.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        archive.writestr("a/byteorder", "big")
    with pytest.raises(CheckpointError, match="little-endian"):
        read_torch_file(path)


def test_an_archive_of_something_else(tmp_path):
    path = tmp_path / "weights.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"data\.pkl"):
        read_torch_file(path)


def test_flipped_bits_are_noticed(torch_file):
    path = torch_file({"x": ("FloatStorage", "0", 12, 0, (12,), (1,))})
    data = bytearray(path.read_bytes())
    data[data.index(VALUES.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="CRC"):
        read_torch_file(path)["x"].read()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files(torch_file, part):
    path = torch_file({"x": ("FloatStorage", "0", 12, 0, (12,), (1,))})
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(CheckpointError, match="incomplete"):
        read_torch_file(path)
