"""Pickles that are small, or true to their format, and would take gigabytes or for ever."""

import os
import pickle
import struct

import numpy as np
import pytest

from spectrodiff.checkpoints.formats.pickle_input import MAX_INLINE_BYTES
from spectrodiff.checkpoints.layouts.paddle_file import PIECES_TABLE, read_paddle_file
from spectrodiff.checkpoints.layouts.safe_pickle import MAX_INSTRUCTIONS
from spectrodiff.checkpoints.layouts.torch_file import OLD_MAGIC, read_torch_file
from spectrodiff.core.errors import CheckpointError
from tests.support.limits import MEGABYTE, Limited

GAP_BYTES = 3 << 30


@pytest.fixture(scope="module")
def limited():
    with Limited(read_paddle_file.__module__, memory_bytes=150 * MEGABYTE) as child:
        yield child


def names(reader, path):
    """The names in a file; the arrays themselves need not be sent."""
    return list(reader(path))


@pytest.mark.parametrize(
    "instruction",
    [
        b"}",
        b"]",
        b"N",
        b"(",
        b"h\x00",  # the first value again
        b"h\x00\x85",
        b"\x8a\xff" + bytes(254) + b"\x01",  # a number of 255 bytes
        b"h\x01)R",  # a call
    ],
)
def test_millions_of_instructions(limited, tmp_path, instruction):
    path = tmp_path / "model_state.pdparams"
    begin = b"\x80\x04)q\x00ccollections\nOrderedDict\nq\x01"
    count = {1: 4_000_000, 257: 80_000}.get(len(instruction), 600_000)
    path.write_bytes(begin + count * instruction + b".")
    with pytest.raises(CheckpointError, match=r"more than 500,000 instr|too many values"):
        limited.run(names, read_paddle_file, path)


def test_the_largest_pickle_within_the_limits(limited, tmp_path):
    # Dicts with an entry are the largest values; each needs four instructions.
    path = tmp_path / "model_state.pdparams"
    entries = b"}h\x00h\x00s" * (MAX_INSTRUCTIONS // 4 - 2)
    path.write_bytes(b"\x80\x04\x8c\x01aq\x00" + entries + b".")
    with pytest.raises(CheckpointError, match="a to be an array"):
        limited.run(names, read_paddle_file, path)


def test_many_texts(limited, tmp_path):
    # Four bytes in memory for each in the file, because of one character.
    value = "\U0001f3b5" + "a" * 4_000
    path = tmp_path / "model_state.pdparams"
    pickled = b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    path.write_bytes(b"\x80\x04" + pickled * (2 * MAX_INLINE_BYTES // 4_000) + b".")
    with pytest.raises(CheckpointError, match="too many values"):
        limited.run(names, read_paddle_file, path)


def test_a_long_text(limited, tmp_path):
    value = "\U0001f3b5" + "a" * (50 * MEGABYTE)
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps({"a": value}, 4))
    with pytest.raises(CheckpointError, match="a to be an array"):
        limited.run(names, read_paddle_file, path)


def test_a_text_in_place_of_bytes(limited, tmp_path):
    # As many bytes as an array of this shape would have as text.
    array = np.zeros(40 * MEGABYTE, np.uint8)
    path = tmp_path / "model_state.pdparams"
    pickled = pickle.dumps({"a": array}, 2)
    character = "\U0001f3b5".encode()
    path.write_bytes(pickled.replace(bytes(array), character * (len(array) // 4)))
    with pytest.raises(CheckpointError, match="bytes as text"):
        limited.run(read_first, path)


def read_first(path):
    (array,) = read_paddle_file(path).values()
    return array.read().nbytes


def test_pairs_of_pairs_of_pairs(limited, tmp_path):
    # Takes 2^60 steps to hash.
    pair = ()
    for _ in range(60):
        pair = (pair, pair)
    table = {"a": {"OriginShape": (1,), "slices": [pair]}}
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps({PIECES_TABLE: table}, 4))
    with pytest.raises(CheckpointError, match="pieces that do not match"):
        limited.run(names, read_paddle_file, path)


def test_values_longer_than_memory(limited, tmp_path):
    # A gap in the file: no byte of it is on the disk.
    path = tmp_path / "old.pth"
    for code in (b"\x8d", b"\x8e"):
        with path.open("wb") as file:
            file.write(OLD_MAGIC + b"\x80\x04" + code + struct.pack("<Q", GAP_BYTES))
            file.seek(GAP_BYTES, os.SEEK_CUR)
            file.write(b".")
        with pytest.raises(CheckpointError, match="incomplete instruction"):
            limited.run(names, read_torch_file, path)
    # Zeros are no instructions.
    with path.open("wb") as file:
        file.write(OLD_MAGIC)
        file.truncate(GAP_BYTES)
    with pytest.raises(CheckpointError, match="instruction"):
        limited.run(names, read_torch_file, path)


def test_a_file_that_is_cut_off_while_it_is_read(limited, tmp_path):
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps({"a": np.zeros(100_000, np.float32)}, 4))
    with pytest.raises(CheckpointError, match="nothing changes while it is read"):
        limited.run(read_after_cutting, path)


def read_after_cutting(path):
    """Reads the first array of a file that has lost what is behind its beginning."""
    (array,) = read_paddle_file(path).values()
    os.truncate(path, 100)
    return array.read()


def test_long_names_are_shortened(tmp_path):
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps({"a\x1b" * 2_000: 1}, 4))
    with pytest.raises(CheckpointError, match=r"a\\x1ba\\x1b") as error:
        read_paddle_file(path)
    assert len(str(error.value)) < 1_000
