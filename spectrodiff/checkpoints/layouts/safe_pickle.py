"""Reads pickles of arrays in plain containers safely.

A pickle is a program: GLOBAL instructions import arbitrary names, and REDUCE instructions call
them. This module interprets the instructions without importing anything: a global name is only a
label, and a few known labels stand for functions that make an array or a dict. All other labels,
and all instructions that arrays do not need, are errors. Long values stay in the file until they
are needed, and the number of instructions, which each make at most one value, is limited: at its
limits, a pickle takes about 100 MB and a second.
"""

import codecs
import dataclasses
import math
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.tree import StoredArray, checked_shape
from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.definition import Shape

# Longer texts and bytes stay in the file.
INLINE_BYTES = 4096
# The largest models have a thousand arrays, with about 40 instructions and 200 bytes of text each,
# or 4 kB for arrays that do not stay in the file.
MAX_INSTRUCTIONS = 500_000
MAX_INLINE_BYTES = 16 << 20
_DECODED_BYTES = 1 << 20  # of a text at a time


class Label(NamedTuple):
    """Global name in a pickle, "module.name"; it is never imported."""

    name: str


# Function of the arguments of REDUCE for each label, or None for labels that are not called.
Labels = Mapping[str, Callable[..., Any] | None]


def read_pickle(
    file: WeightsFile,
    stream: BinaryIO,
    labels: Labels | None = None,
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """Returns the content of a pickle of protocol 2, 3 or 4, numpy arrays as `PickledArray`.

    Args:
        file: file that the arrays are read from later.
        stream: the same file, opened, at the beginning of the pickle; afterwards at its end.
        labels: accepted global names in addition to those of numpy arrays and plain containers.
        persistent_load: converts a persistent id to a value, for formats that use them.

    Raises:
        CheckpointError: if the pickle is damaged or contains other labels or instructions, or more
            of them than any model needs.
    """
    machine = _Machine(_Input(file, stream), {**_NUMPY_LABELS, **(labels or {})}, persistent_load)
    try:
        return machine.run()
    except (
        AttributeError,
        LookupError,
        MemoryError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise CheckpointError(
            file.path, "a complete pickle of arrays", f"a damaged one ({str(error)[:200]})"
        ) from None


@dataclasses.dataclass(frozen=True, slots=True)
class _LongValue:
    """Long bytes that stay in the file, or a text in UTF-8."""

    file: WeightsFile
    start: int
    size: int  # in bytes, of a text encoded as UTF-8
    is_text: bool

    def fits(self, count: int) -> bool:
        """Returns False if this is not `count` bytes, or a text of as many latin-1 characters."""
        return count <= self.size <= (2 if self.is_text else 1) * count

    def read(self, count: int) -> bytes | bytearray:
        """Reads `count` bytes, those of a text encoded as latin-1.

        Raises:
            CheckpointError: if the file was changed, or this is a text of other characters.
        """
        if not self.is_text:
            return self.file.read(self.start, count)
        data = bytearray()
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for start in range(0, self.size, _DECODED_BYTES):
                size = min(_DECODED_BYTES, self.size - start)
                part = self.file.read(self.start + start, size)
                data += decoder.decode(part, start + size == self.size).encode("latin-1")
        except UnicodeError as error:
            raise CheckpointError(self.file.path, "bytes as text", str(error)[:200]) from None
        if len(data) != count:
            raise CheckpointError(self.file.path, f"a text of {count:,} bytes", f"{len(data):,}")
        return data


class _Input:
    """Reads instructions and their arguments."""

    def __init__(self, file: WeightsFile, stream: BinaryIO) -> None:
        self.file = file
        self._stream = stream
        self._bytes_left = MAX_INLINE_BYTES

    def read(self, size: int) -> bytes:
        """Reads exactly `size` bytes; ValueError at the end of the file."""
        self._bytes_left -= size
        data = self._stream.read(size) if self._bytes_left >= 0 else b""
        if len(data) != size:
            raise ValueError("an incomplete instruction, or too many values")
        return data

    def line(self) -> str:
        """Reads a short line."""
        line = self._stream.readline(INLINE_BYTES)
        self._bytes_left -= len(line)
        if not line.endswith(b"\n"):
            raise ValueError("an incomplete line")
        return line[:-1].decode()

    def skip(self, size: int, is_text: bool) -> _LongValue:
        """Leaves bytes in the file, and goes on behind them."""
        start = self._stream.tell()
        if start + size > self.file.size:
            raise ValueError(f"{size:,} bytes that are not there")
        self._stream.seek(start + size)
        return _LongValue(self.file, start, size, is_text)


_MARK = object()


class _Machine:
    """Interpreter: a stack, a memo, and one method per kind of instruction."""

    def __init__(
        self, source: _Input, labels: Labels, persistent_load: Callable[[Any], Any] | None
    ) -> None:
        self._source, self._labels, self._persistent_load = source, labels, persistent_load
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        source = self._source
        for _ in range(MAX_INSTRUCTIONS):
            name = _NAMES.get(source.read(1), "without a name")
            if name == "STOP":
                return self._stack.pop()
            if name in _PUSHED:
                self._stack.append(_PUSHED[name](source))
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            elif name in _METHODS:
                method, read_argument = _METHODS[name]
                method(self, read_argument(source))
            else:
                raise self._refusal(f"the pickle instruction {name}")
        raise self._refusal(f"more than {MAX_INSTRUCTIONS:,} instructions")

    def new_dict(self, _: None) -> None:
        self._stack.append({})

    def new_list(self, _: None) -> None:
        self._stack.append([])

    def mark(self, _: None) -> None:
        self._stack.append(_MARK)

    def tuple_of_1(self, _: None) -> None:
        self._stack.append(tuple(self._pop(1)))

    def tuple_of_2(self, _: None) -> None:
        self._stack.append(tuple(self._pop(2)))

    def tuple_of_3(self, _: None) -> None:
        self._stack.append(tuple(self._pop(3)))

    def tuple_to_mark(self, _: None) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def append(self, _: None) -> None:
        self._extend_list(self._pop(1))

    def appends(self, _: None) -> None:
        self._extend_list(self._pop_to_mark())

    def set_item(self, _: None) -> None:
        self._extend_dict(self._pop(2))

    def set_items(self, _: None) -> None:
        self._extend_dict(self._pop_to_mark())

    def put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, key: int) -> None:
        self._stack.append(self._memo[key])

    def skip(self, _: int) -> None:
        pass

    def name(self, module_and_name: tuple[str, str]) -> None:
        self._push_label(*module_and_name)

    def name_from_stack(self, _: None) -> None:
        self._push_label(*self._pop(2))

    def call(self, _: None) -> None:
        label, arguments = self._pop(2)
        function = self._labels[_of_type(Label, label).name]
        if function is None:
            raise self._refusal(f"a call of {label.name}")
        self._stack.append(function(*_of_type(tuple, arguments)))

    def set_state(self, _: None) -> None:
        (state,) = self._pop(1)
        # Attributes of a dict, in which torch stores a version, are ignored.
        if not isinstance(self._stack[-1], dict):
            _of_type((PickledArray, _PickledType), self._stack[-1]).set_state(*state)

    def load_persistent(self, _: None) -> None:
        if self._persistent_load is None:
            raise self._refusal("a reference to data outside the pickle")
        self._stack.append(self._persistent_load(self._stack.pop()))

    def _push_label(self, module: Any, name: Any) -> None:
        label = f"{_of_type(str, module)}.{_of_type(str, name)}"
        if label not in self._labels:
            raise self._refusal(f"a reference to {label[:80]!r}, which is not imported")
        self._stack.append(Label(label))

    def _refusal(self, got: str) -> CheckpointError:
        return CheckpointError(self._source.file.path, "a pickle of arrays and nothing else", got)

    def _extend_list(self, items: list[Any]) -> None:
        _of_type(list, self._stack[-1]).extend(items)

    def _extend_dict(self, items: list[Any]) -> None:
        target = _of_type(dict, self._stack[-1])
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only strings: hashing a deeply nested tuple would overflow the C stack.
            target[_of_type(str, key)] = value

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError("an empty stack")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]


# Function that reads the argument of an instruction.
_Read = Callable[[_Input], Any]


def _nothing(_: _Input) -> None:
    return None


def _number(code: str) -> _Read:
    packed = struct.Struct(code)

    def read(source: _Input) -> Any:
        (number,) = packed.unpack(source.read(packed.size))
        return number

    return read


def _sized(read_size: _Read, encoding: str | None = None) -> _Read:
    """Returns the reader of bytes, or of a text, after their number."""

    def read(source: _Input) -> bytes | str | _LongValue:
        size = read_size(source)
        if size > INLINE_BYTES:
            return source.skip(size, is_text=encoding == "utf-8")
        if size < 0:
            raise ValueError("a negative size")
        data = source.read(size)
        return data if encoding is None else data.decode(encoding, "surrogatepass")

    return read


def _long(source: _Input) -> int:
    (size,) = source.read(1)
    return int.from_bytes(source.read(size), "little", signed=True)


def _two_lines(source: _Input) -> tuple[str, str]:
    return source.line(), source.line()


_NAMES = {each.code.encode("latin-1"): each.name for each in pickletools.opcodes}
_BYTE, _SHORT, _INT, _UNSIGNED, _UNSIGNED8 = map(_number, ("B", "<H", "<i", "<I", "<Q"))
_PUSHED: Mapping[str, _Read] = {
    "BININT": _INT,
    "BININT1": _BYTE,
    "BININT2": _SHORT,
    "LONG1": _long,
    "BINFLOAT": _number(">d"),
    "BINUNICODE": _sized(_UNSIGNED, "utf-8"),
    "SHORT_BINUNICODE": _sized(_BYTE, "utf-8"),
    "BINUNICODE8": _sized(_UNSIGNED8, "utf-8"),
    "BINBYTES": _sized(_UNSIGNED),
    "SHORT_BINBYTES": _sized(_BYTE),
    "BINBYTES8": _sized(_UNSIGNED8),
    "BINSTRING": _sized(_INT, "latin-1"),
    "SHORT_BINSTRING": _sized(_BYTE, "latin-1"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_METHODS: Mapping[str, tuple[Callable[..., None], _Read]] = {
    "EMPTY_DICT": (_Machine.new_dict, _nothing),
    "EMPTY_LIST": (_Machine.new_list, _nothing),
    "MARK": (_Machine.mark, _nothing),
    "TUPLE1": (_Machine.tuple_of_1, _nothing),
    "TUPLE2": (_Machine.tuple_of_2, _nothing),
    "TUPLE3": (_Machine.tuple_of_3, _nothing),
    "TUPLE": (_Machine.tuple_to_mark, _nothing),
    "APPEND": (_Machine.append, _nothing),
    "APPENDS": (_Machine.appends, _nothing),
    "SETITEM": (_Machine.set_item, _nothing),
    "SETITEMS": (_Machine.set_items, _nothing),
    "MEMOIZE": (_Machine.memoize, _nothing),
    "STACK_GLOBAL": (_Machine.name_from_stack, _nothing),
    "REDUCE": (_Machine.call, _nothing),
    "BUILD": (_Machine.set_state, _nothing),
    "BINPERSID": (_Machine.load_persistent, _nothing),
    "BINPUT": (_Machine.put, _BYTE),
    "BINGET": (_Machine.get, _BYTE),
    "LONG_BINPUT": (_Machine.put, _UNSIGNED),
    "LONG_BINGET": (_Machine.get, _UNSIGNED),
    "GLOBAL": (_Machine.name, _two_lines),
    "PROTO": (_Machine.skip, _BYTE),
    "FRAME": (_Machine.skip, _UNSIGNED8),
}


def _of_type(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} in the wrong place")
    return value


_TYPES: Mapping[str, np.dtype[Any]] = {
    **{code: np.dtype(code) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1")},
    # Paddle stores bfloat16 as unsigned integers of the same bits.
    "u2": np.dtype(ml_dtypes.bfloat16),
}


class _PickledType:
    """A numpy dtype: the call has its code, the state its byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        if _of_type(str, code) not in _TYPES:
            raise TypeError(f"array elements of type {code[:20]!r}")
        self.dtype = _TYPES[code]

    def set_state(self, _version: int, byte_order: str, *_: Any) -> None:
        if byte_order == ">":
            self.dtype = self.dtype.newbyteorder(">")


class PickledArray:
    """A numpy array in a pickle, created empty by one instruction and filled by another."""

    def __init__(self, *_: Any) -> None:
        self._values: bytes | _LongValue = b""
        self.dtype = np.dtype(np.float32)
        self._order: Any = "C"
        self.shape: Shape = (0,)

    def set_state(
        self, _version: int, shape: Shape, kind: _PickledType, fortran: bool, values: Any
    ) -> None:
        """Sets type, shape and values; ValueError if they do not match."""
        self.dtype = _of_type(_PickledType, kind).dtype
        self._order = "F" if fortran else "C"
        # Protocol 2 stores bytes as latin-1 text.
        values = values.encode("latin-1") if isinstance(values, str) else values
        self._values = _of_type((bytes, _LongValue), values)
        self.shape = checked_shape(shape)
        size = self._size()
        if not (values.fits(size) if isinstance(values, _LongValue) else len(values) == size):
            raise ValueError(f"an array of shape {shape} in another number of bytes")

    def read(self) -> np.ndarray:
        """Returns the array.

        Raises:
            CheckpointError: if the file was changed, or the values are a text that is no bytes.
        """
        values = self._values
        data = values.read(self._size()) if isinstance(values, _LongValue) else values
        return np.frombuffer(data, self.dtype).reshape(self.shape, order=self._order)

    def stored(self) -> StoredArray:
        """Returns the array as an entry that a parameter can be read from."""
        return StoredArray(self.shape, self.read)

    def _size(self) -> int:
        """Returns the size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def _bytes_as_text(text: Any, encoding: str) -> str | _LongValue:
    # Protocol 2 has no bytes: it stores latin-1 text and a call for encoding it, which is left to
    # the array.
    if encoding != "latin1":
        raise ValueError("bytes in an unknown encoding")
    return _of_type((str, _LongValue), text)


def _no_bytes() -> bytes:
    return b""


def _new_dict() -> dict[str, Any]:
    return {}


def _same_tuple(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return _of_type(tuple, items)


_NUMPY_LABELS: Labels = {
    "collections.OrderedDict": _new_dict,
    "builtins.tuple": _same_tuple,
    "__builtin__.tuple": _same_tuple,
    "_codecs.encode": _bytes_as_text,
    "__builtin__.bytes": _no_bytes,  # called without arguments for empty bytes in protocol 2
    "numpy.ndarray": None,
    "numpy.dtype": _PickledType,
    "numpy.core.multiarray._reconstruct": PickledArray,
    "numpy._core.multiarray._reconstruct": PickledArray,
}
