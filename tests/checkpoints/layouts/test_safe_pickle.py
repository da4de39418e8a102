import collections
import copyreg
import io
import itertools
import os
import pickle
import struct
import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrodiff.checkpoints.layouts import safe_pickle
from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError


@pytest.fixture(scope="module")
def read_pickle(tmp_path_factory):
    """A function that reads a pickle from a file."""
    folder, numbers = tmp_path_factory.mktemp("pickles"), itertools.count()

    def read(data):
        path = folder / f"{next(numbers)}.pickle"
        path.write_bytes(data)
        file = WeightsFile(path)
        with file.open() as stream:
            return safe_pickle.read_pickle(file, stream)

    return read


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(6).astype(">f4"),
        np.array([1.5, -2], np.float16),
        np.array(3, np.float32),
        np.zeros((0, 4), np.float32),
        np.arange(5_000, dtype=np.float32),  # longer than what is copied
        np.array([0, 255, 128], np.uint8),  # bytes that protocol 2 writes as two characters
    ],
)
def test_numpy_arrays(read_pickle, protocol, array):
    data = pickle.dumps(collections.OrderedDict(a=array, b=array), protocol)
    values = read_pickle(data)
    assert list(values) == ["a", "b"]
    for value in values.values():
        assert value.shape == array.shape
        np.testing.assert_array_equal(value.read(), array)
        assert value.read().dtype == array.dtype


def test_numpy_arrays_of_older_numpy(read_pickle):
    data = pickle.dumps(np.arange(3.0), 2).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in data
    np.testing.assert_array_equal(read_pickle(data).read(), [0, 1, 2])


def test_unsigned_shorts_are_bfloat16(read_pickle):
    values = np.array([1.5, -3], ml_dtypes.bfloat16)
    array = read_pickle(pickle.dumps(values.view(np.uint16), 4)).read()
    np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_values(read_pickle, protocol):
    value = {"a": [1, -(2**40), 2.5, None, True, False, "é"], "b": ((), (1,), (1, 2, 3, 4), b"x")}
    read = read_pickle(pickle.dumps(value, protocol))
    if protocol == 2:  # bytes are a call there, and stay the text they are written as
        value["b"] = (*value["b"][:3], "x")
    assert read == value


def test_a_long_array_is_read_on_demand(read_pickle):
    values = np.arange(10_000, dtype=np.float32)
    array = read_pickle(pickle.dumps(values, 4))
    np.testing.assert_array_equal(array.read(), values)
    # Bytes that protocol 2 writes as two characters, which end anywhere in what is decoded at once.
    random = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8)
    np.testing.assert_array_equal(read_pickle(pickle.dumps(random, 2)).read(), random)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def command(canary: Path) -> str:
    return f"touch {canary}"


# Each writes the canary's path into a pickle that the ordinary unpickler would act on.
HOSTILE = {
    "os.system": lambda canary: Call(os.system, command(canary)),
    "eval": lambda canary: Call(eval, f"__import__('os').system({command(canary)!r})"),
    "exec": lambda canary: Call(exec, f"open({str(canary)!r}, 'w')"),
    "subprocess": lambda canary: Call(subprocess.check_call, ["touch", str(canary)]),
    "open": lambda canary: Call(io.open, str(canary), "w"),
    "getattr": lambda canary: Call(getattr, os, "system"),
    "copyreg": lambda canary: Call(copyreg._reconstructor, Path, object, None),
    "numpy": lambda canary: Call(np.load, str(canary)),
    "numpy scalar": lambda canary: np.float32(1),
    "object array": lambda canary: np.array([Call(os.system, command(canary))], object),
    "structured array": lambda canary: np.zeros(2, [("a", "f4"), ("b", "O")]),
    "text array": lambda canary: np.array(["text"]),
    "class": lambda canary: Path,
    "instance": lambda canary: collections.Counter("a"),
    "in a dict": lambda canary: {"a": np.zeros(3), "b": Call(os.system, command(canary))},
    "set": lambda canary: {1, 2},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(read_pickle, tmp_path, name, protocol):
    canary = tmp_path / "canary"
    try:
        data = pickle.dumps(HOSTILE[name](canary), protocol)
    except TypeError:  # a module cannot be pickled; by hand then
        data = b"cbuiltins\ngetattr\n(cos\nO\nS'system'\ntR."
    with pytest.raises(CheckpointError) as error:
        read_pickle(data)
    assert error.value.subject.endswith(".pickle")
    assert not canary.exists()


def short_text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def name(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL, as protocol 4 writes a name."""
    return short_text(module) + short_text(attribute) + b"\x93"


@pytest.mark.parametrize(
    "program",
    [
        # Names that only look like those that are allowed.
        name("collections", "OrderedDict.fromkeys"),
        name("numpy", "ndarray.tofile"),
        name("numpy", "dtype.__class__"),
        name("numpy.core.multiarray", "_reconstruct.__globals__"),
        name("builtins", "tuple.__class__.__base__.__subclasses__"),
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n",
        b"cos\nsystem\n",
        # A name that may be mentioned, called; and a name as an object to work on.
        name("numpy", "ndarray") + b"K\x01\x85R",
        name("collections", "OrderedDict") + b"}(" + short_text("fromkeys") + b"NubN",
        name("collections", "OrderedDict") + b")\x81",
        name("numpy", "ndarray") + b"(K\x01K\x02tb",
        # What is called, and what it is given, come from the wrong places.
        b"K\x01)R",
        short_text("os.system") + b")R",
        name("collections", "OrderedDict") + b"K\x01R",
        name("collections", "OrderedDict") + b"]\x85R",
        name("numpy", "dtype") + short_text("O8") + b"\x85R",
        name("numpy", "dtype") + b"]\x85R",
        name("builtins", "tuple") + b"]\x85R",
        name("builtins", "tuple") + b"K\x05\x85R",
        # Instructions for classes, extensions and data outside.
        b"(ios\nsystem\n",
        b"(cos\nsystem\no",
        b"\x82\x01",
        b"\x97",
        short_text("id") + b"Q",
        # A damaged stack or memo.
        b"a",
        b"0",
        b"\x85",
        b"R",
        b"h\x05",
        b"e",
        b"(K\x01u",
        b"}(K\x01u",
        b"}" + short_text("odd") + b"u",
        b"}K\x01K\x02s",
        b"}]K\x02s",
        b"]K\x01K\x02s",
        b"b",
        # Sizes that are claimed but not there.
        b"\x8e" + struct.pack("<Q", 2**62) + b"x",
        b"\x8d" + struct.pack("<Q", 2**62) + b"x",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x",
        b"B" + struct.pack("<I", 2**32 - 1) + b"x",
        b"T" + struct.pack("<i", -5) + b"x",
    ],
)
def test_hostile_programs(read_pickle, program):
    with pytest.raises(CheckpointError):
        read_pickle(b"\x80\x04" + program + b".")


def array_pickle(shape: bytes, values: bytes, kind: bytes = short_text("f4")) -> bytes:
    """An array whose state is written by hand: (1, shape, dtype, False, values)."""
    array = name("numpy.core.multiarray", "_reconstruct")
    array += name("numpy", "ndarray") + b"K\x00\x85" + b"C\x01b" + b"\x87R"
    dtype = name("numpy", "dtype") + kind + b"\x85R"
    return b"\x80\x04" + array + b"(K\x01" + shape + dtype + b"\x89" + values + b"tb."


def test_array_by_hand(read_pickle):
    data = array_pickle(b"K\x02\x85", b"C\x08" + np.float32([1, 2]).tobytes())
    np.testing.assert_array_equal(read_pickle(data).read(), [1, 2])


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        (b"K\x03\x85", b"C\x08" + bytes(8)),  # three elements in the bytes of two
        (b"K\x01\x85", b"C\x08" + bytes(8)),
        (b"J\xff\xff\xff\xffJ\xfe\xff\xff\xff\x86", b"C\x08" + bytes(8)),  # -1 by -2
        (b"\x8a\x09" + b"\x01" * 9 + b"\x85", b"C\x00"),
        (b"J\x00\x00\x00\x7f]K\x00a\x86", b"C\x00"),  # 2 billion times a list
        (b"(" + b"K\x01" * 100 + b"t", b"C\x04" + bytes(4)),
        (b"]K\x02a", b"C\x08" + bytes(8)),
        (b"K\x01\x85", b"]N\x85"),
        (b"K\x01\x85", b"X\x04\x00\x00\x00\xe2\x82\xacx"),  # text that is no bytes
        (b"K\x04\x85", b"\x89"),
    ],
)
def test_arrays_that_do_not_fit(read_pickle, shape, values):
    with pytest.raises(CheckpointError):
        read_pickle(array_pickle(shape, values))


def test_deeply_nested_values_do_no_harm(read_pickle):
    deep = b")" + b"\x85" * 100_000
    assert isinstance(read_pickle(b"\x80\x04" + deep + b"."), tuple)
    with pytest.raises(CheckpointError):
        read_pickle(b"\x80\x04}" + deep + b"K\x01s.")
    with pytest.raises(CheckpointError):
        read_pickle(b"\x80\x04" + deep + deep + b"\x93.")


def test_an_array_named_twice_takes_no_more_memory(read_pickle):
    values = np.arange(2_000, dtype=np.float32)
    data = (
        b"\x80\x04]("
        + array_pickle(
            b"M\xd0\x07\x85", b"B" + struct.pack("<I", values.nbytes) + values.tobytes()
        )[2:-1]
    )
    data += b"q\x00" + b"h\x00" * 50_000 + b"e."
    arrays = read_pickle(data)
    assert len(arrays) == 50_001
    assert all(array is arrays[0] for array in arrays)


WHOLE = pickle.dumps(
    collections.OrderedDict(a=np.arange(6, dtype=np.float32).reshape(2, 3), b=["x", (1, 2.5)]), 2
)


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_truncated_pickles(read_pickle, size):
    with pytest.raises(CheckpointError):
        read_pickle(WHOLE[:size])


@settings(deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_a_value(read_pickle, at, byte):
    data = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    try:
        value = read_pickle(data)
    except CheckpointError:
        return
    if isinstance(value, dict) and isinstance(value.get("a"), safe_pickle.PickledArray):
        assert value["a"].read().shape == value["a"].shape
