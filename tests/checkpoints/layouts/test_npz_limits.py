"""Weights of VGGish in `.npz` files that would take far more memory than the network."""

import io
import zipfile

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.npz_file import read_npz
from spectrodiff.checkpoints.layouts.vggish import import_vggish
from spectrodiff.core.errors import CheckpointError
from tests.support.limits import MEGABYTE, Limited
from tests.support.vggish import SMALL, random_weights, tf1_arrays


@pytest.fixture(scope="module")
def limited():
    with Limited(import_vggish.__module__, memory_bytes=60 * MEGABYTE) as child:
        yield child


def config_of(path):
    return import_vggish(path)[0]


def header(text):
    """An array without values, after the header of the format."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def write(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def test_arrays_that_are_not_needed(limited, tmp_path):
    path = tmp_path / "a.npz"
    zeros = np.zeros(10 * MEGABYTE)
    np.savez_compressed(path, **tf1_arrays(random_weights()), pca=zeros)
    assert path.stat().st_size < MEGABYTE
    assert limited.run(config_of, path) == SMALL


def test_a_network_wider_than_any(limited, tmp_path):
    arrays = tf1_arrays(random_weights())
    arrays["vggish/fc2/biases"] = np.zeros(20 * MEGABYTE, np.float32)
    inputs = len(arrays["vggish/fc2/weights"])
    members = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array)
        members[name] = file.getvalue()
    shape = f"({inputs}, {20 * MEGABYTE})"
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    members["vggish/fc2/weights"] = header(text)
    write(tmp_path / "a.npz", members)
    with pytest.raises(CheckpointError, match="1 to 128 outputs of fc2, as published"):
        limited.run(config_of, tmp_path / "a.npz")


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,) * 3, }",
        "{'descr': '<V1000000000', 'fortran_order': False, 'shape': (8,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (8,), }",
        "{'descr': [('a', 'f4')], 'fortran_order': False, 'shape': (8,), }",
        "[" * 9_000,
        "-" * 9_000,
        "{" + "'a': 1, " * 1_000 + "}",
        "1" * 9_000,
    ],
)
def test_headers(limited, tmp_path, text):
    write(tmp_path / "a.npz", {"a": header(text) + bytes(32)})
    with pytest.raises(CheckpointError):
        limited.run(read_all, tmp_path / "a.npz")


def read_all(path):
    return [array.read() for array in read_npz(path).values()]


def test_many_arrays_of_many_types(limited, tmp_path):
    types = ",".join(f"('{i:x}','f')" for i in range(790))
    text = f"{{'descr': [{types}], 'fortran_order': False, 'shape': (1,), }}"
    write(tmp_path / "a.npz", {"a": header(text)})
    with pytest.raises(CheckpointError, match="Header info length"):
        limited.run(config_of, tmp_path / "a.npz")
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"
    write(tmp_path / "a.npz", {f"{i}": header(text) for i in range(1001)})
    with pytest.raises(CheckpointError, match="1,001 arrays, more than 1,000"):
        limited.run(config_of, tmp_path / "a.npz")


def test_a_header_of_gigabytes(limited, tmp_path):
    # Version 2 has four bytes for the length of the header.
    size = 70 * MEGABYTE
    data = b"\x93NUMPY\x02\x00" + size.to_bytes(4, "little") + b" " * size
    write(tmp_path / "a.npz", {"a": data})
    with pytest.raises(CheckpointError, match="a complete npz file of arrays"):
        limited.run(config_of, tmp_path / "a.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(limited, tmp_path, method):
    write(tmp_path / "a.npz", {"a": bytes(70 * MEGABYTE)}, method)
    with pytest.raises(CheckpointError, match="another compression"):
        limited.run(config_of, tmp_path / "a.npz")


def test_damage_is_noticed(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(10.0))
    data = bytearray(path.read_bytes())
    data[data.index(np.float64(5).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="CRC"):
        read_npz(path)["a"].read()
