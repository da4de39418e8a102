"""Reads pickles of arrays in plain containers safely.

A pickle is a program: GLOBAL instructions import arbitrary names, and REDUCE instructions call
them. This module interprets the instructions without importing anything: a global name is only a
label, and a few known labels stand for functions that make an array or a dict. All other labels,
and all instructions that arrays do not need, are errors. Long values stay in the file until they
are needed, and the number of instructions, which each make at most one value, is limited: at its
limits, a pickle takes about 100 MB and a second.
"""

import math
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from spectrodiff.checkpoints.formats.pickle_input import (
    BYTE,
    PUSHED,
    UNSIGNED,
    UNSIGNED8,
    LongValue,
    PickleInput,
    ReadArgument,
    no_argument,
    two_lines,
)
from spectrodiff.checkpoints.tree import StoredArray, checked_shape
from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.definition import Shape

# The largest models have a thousand arrays, with about 40 instructions each.
MAX_INSTRUCTIONS = 500_000


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
    machine = _Machine(
        PickleInput(file, stream), {**_NUMPY_LABELS, **(labels or {})}, persistent_load
    )
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


_MARK = object()


class _Machine:
    """Interpreter: a stack, a memo, and one method per kind of instruction."""

    def __init__(
        self, source: PickleInput, labels: Labels, persistent_load: Callable[[Any], Any] | None
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
            if name in PUSHED:
                self._stack.append(PUSHED[name](source))
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


_NAMES = {each.code.encode("latin-1"): each.name for each in pickletools.opcodes}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_METHODS: Mapping[str, tuple[Callable[..., None], ReadArgument]] = {
    "EMPTY_DICT": (_Machine.new_dict, no_argument),
    "EMPTY_LIST": (_Machine.new_list, no_argument),
    "MARK": (_Machine.mark, no_argument),
    "TUPLE1": (_Machine.tuple_of_1, no_argument),
    "TUPLE2": (_Machine.tuple_of_2, no_argument),
    "TUPLE3": (_Machine.tuple_of_3, no_argument),
    "TUPLE": (_Machine.tuple_to_mark, no_argument),
    "APPEND": (_Machine.append, no_argument),
    "APPENDS": (_Machine.appends, no_argument),
    "SETITEM": (_Machine.set_item, no_argument),
    "SETITEMS": (_Machine.set_items, no_argument),
    "MEMOIZE": (_Machine.memoize, no_argument),
    "STACK_GLOBAL": (_Machine.name_from_stack, no_argument),
    "REDUCE": (_Machine.call, no_argument),
    "BUILD": (_Machine.set_state, no_argument),
    "BINPERSID": (_Machine.load_persistent, no_argument),
    "BINPUT": (_Machine.put, BYTE),
    "BINGET": (_Machine.get, BYTE),
    "LONG_BINPUT": (_Machine.put, UNSIGNED),
    "LONG_BINGET": (_Machine.get, UNSIGNED),
    "GLOBAL": (_Machine.name, two_lines),
    "PROTO": (_Machine.skip, BYTE),
    "FRAME": (_Machine.skip, UNSIGNED8),
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
        self._values: bytes | LongValue = b""
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
        self._values = _of_type((bytes, LongValue), values)
        self.shape = checked_shape(shape)
        size = self._size()
        if not (values.fits(size) if isinstance(values, LongValue) else len(values) == size):
            raise ValueError(f"an array of shape {shape} in another number of bytes")

    def read(self) -> np.ndarray:
        """Returns the array.

        Raises:
            CheckpointError: if the file was changed, or the values are a text that is no bytes.
        """
        values = self._values
        data = values.read(self._size()) if isinstance(values, LongValue) else values
        return np.frombuffer(data, self.dtype).reshape(self.shape, order=self._order)

    def stored(self) -> StoredArray:
        """Returns the array as an entry that a parameter can be read from."""
        return StoredArray(self.shape, self.read)

    def _size(self) -> int:
        """Returns the size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def _bytes_as_text(text: Any, encoding: str) -> str | LongValue:
    # Protocol 2 has no bytes: it stores latin-1 text and a call for encoding it, which is left to
    # the array.
    if encoding != "latin1":
        raise ValueError("bytes in an unknown encoding")
    return _of_type((str, LongValue), text)


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
