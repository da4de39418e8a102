"""Safetensors files that are damaged or replaced, or would take far more memory than their size."""

import json
import os
import struct

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.safetensors_file import (
    read_metadata,
    read_safetensors,
    write_safetensors,
)
from spectrodiff.checkpoints.tree import assemble_tree
from spectrodiff.core.errors import CheckpointError
from tests.support.limits import MEGABYTE, Limited


@pytest.fixture(scope="module")
def limited():
    with Limited(read_safetensors.__module__, "safetensors", memory_bytes=60 * MEGABYTE) as child:
        yield child


def names(path):
    read_metadata(path)
    return list(read_safetensors(path))


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize(
    "header",
    [
        b'{"__metadata__":{' + b",".join(b'"%x":""' % i for i in range(900_000)) + b"}}",
        b"{" + b",".join(b'"%x":{}' % i for i in range(900_000)) + b"}",
        b'{"a":' + b"[" * 1_900_000,
        b'{"a":[' + b"{}," * 600_000 + b"{}]}",
        b'{"a":' + b"1" * 1_000_000 + b"}",
    ],
)
def test_headers_of_far_too_many_values(limited, tmp_path, header):
    path = tmp_path / "a.safetensors"
    write(path, header)
    with pytest.raises(CheckpointError, match="complete safetensors"):
        limited.run(names, path)


def test_a_header_as_long_as_the_file(limited, tmp_path):
    path = tmp_path / "a.safetensors"
    for length in (3 << 30, (1 << 64) - 1):
        with path.open("wb") as file:
            file.write(struct.pack("<Q", length))
            file.truncate(8 + (3 << 30))
        with pytest.raises(CheckpointError, match="complete safetensors"):
            limited.run(names, path)


def entry(start, end, shape=(3,), kind="F32"):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(0, 12), "b": entry(0, 12)},  # the same bytes twice
        {"a": entry(0, 12), "b": entry(8, 20)},
        {"a": entry(0, 12), "b": entry(13, 25)},
        {"a": entry(12, 24)},
        {"a": entry(0, 12)},  # bytes left over
        {"a": entry(0, 24)},
        {"a": entry(0, 24, (6.0,))},
        {"a": entry(0, 24, (-6,))},
        {"a": entry(0, 24, "6")},
        {"a": entry(0, 24, (1,) * 100)},
        {"a": entry(0, 24, (1 << 40, 1 << 40, 0))},
        {"a": entry(0, 24, (6,), "C64")},
        {"a": entry(0, 24, (6,), ["F32"])},
        {"a": entry(24, 0, (6,))},
        {"a": entry("0", "24", (6,))},
        {"a": {"dtype": "F32", "shape": [6]}},
        {"a": 1},
        {"a": None, "b": entry(0, 24, (6,))},
        [entry(0, 24, (6,))],
        {"a": entry(0, float("inf"), (6,))},
    ],
)
def test_entries_that_do_not_match_the_file(tmp_path, header):
    path = tmp_path / "a.safetensors"
    write(path, header, bytes(24))
    with pytest.raises(CheckpointError, match="complete safetensors"):
        read_safetensors(path)


def test_metadata_that_are_no_texts(tmp_path):
    path = tmp_path / "a.safetensors"
    for metadata in (1, [], {"a": 1}, {"a": {"b": "c"}}, None):
        write(path, {"__metadata__": metadata})
        with pytest.raises(CheckpointError, match="metadata"):
            read_metadata(path)


@pytest.mark.parametrize("kind", ["F64", "F16", "I64", "U8", "BOOL", "BF16"])
def test_element_types(tmp_path, kind):
    dtype = {"F64": "f8", "F16": "f2", "I64": "i8", "U8": "u1", "BOOL": "?", "BF16": "u2"}[kind]
    values = np.array([[1, 0], [1, 1]], dtype)
    path = tmp_path / "a.safetensors"
    write(
        path,
        {"none": entry(0, 0, (0, 2)), "a": entry(0, values.nbytes, (2, 2), kind)},
        values.tobytes(),
    )
    arrays = read_safetensors(path)
    assert arrays["none"].read().shape == (0, 2)
    found = arrays["a"].read()
    np.testing.assert_array_equal(found.view(dtype) if kind == "BF16" else found, values)


def test_a_file_that_is_replaced_while_it_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"a": np.ones((3, 4))})
    arrays = read_safetensors(path)
    # Ones that would be repeated to the shape of the first.
    other = tmp_path / "b.safetensors"
    write_safetensors(other, {"a": np.ones((1, 4))})
    os.replace(other, path)
    with pytest.raises(CheckpointError, match="nothing changes"):
        assemble_tree(path, {"a": (3, 4)}, {"a": "a"}, arrays)


def test_long_names_are_shortened(tmp_path):
    path = tmp_path / "a.safetensors"
    write(path, {"\x1b" * 100_000: entry(0, 12)}, bytes(12))
    with pytest.raises(CheckpointError, match="also ") as error:
        assemble_tree(path, {}, {}, read_safetensors(path))
    assert len(str(error.value)) < 1_000
