"""Reads the tree in a msgpack without its arrays.

A library would build every value of the file, and a byte is enough for an empty dict. Here bytes
are located, not read, and the number of values is limited.
"""

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from spectrodiff.core.files import open_regular

# The largest released model has 600 arrays with 5 values each, and its optimizer's state thrice as
# many.
MAX_VALUES, MAX_DEPTH = 200_000, 50
MAX_TEXT_BYTES, MAX_TEXTS_BYTES = 4096, 16 << 20  # of a text, and of all together

_NUMBERS = dict(zip(range(0xCA, 0xD4), "fdBHIQbhiq", strict=True))
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class Span(NamedTuple):
    """Bytes of a file."""

    offset: int
    size: int


class Extension(NamedTuple):
    """Value of a type that the format does not define.

    Attributes:
        code: number of the type.
        content: the msgpack in it; None if it holds other bytes.
    """

    code: int
    content: Any


def read_msgpack(path: Path, known: int) -> Any:
    """Returns the first value of a file: dicts and lists of numbers, texts, `Span` and `Extension`.

    Args:
        path: the file.
        known: code of the extensions that hold a msgpack.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged, or has too many or too deeply nested values.
    """
    with open_regular(path) as file:
        return _Reader(file, known).value()


class _Reader:
    def __init__(self, file: BinaryIO, known: int) -> None:
        self._file, self._known = file, known
        self._end = os.fstat(file.fileno()).st_size
        self._left, self._text_left = MAX_VALUES, MAX_TEXTS_BYTES

    def value(self, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise ValueError("too many values" if self._left < 0 else "nested too deeply")
        head = self._number("B")
        if head in _CONSTANTS:
            return _CONSTANTS[head]
        if head in _NUMBERS:
            return self._number(_NUMBERS[head])
        if head < 0x80 or head >= 0xE0:
            return head if head < 0x80 else head - 0x100
        if head < 0x90 or head in (0xDE, 0xDF):
            return self._dict(head & 15 if head < 0x90 else self._size(head - 0xDD), depth)
        if head < 0xA0 or head in (0xDC, 0xDD):
            return self._list(head & 15 if head < 0xA0 else self._size(head - 0xDB), depth)
        if head < 0xC0 or 0xD9 <= head <= 0xDB:
            return self._text(head & 31 if head < 0xC0 else self._size(head - 0xD9))
        if 0xC4 <= head <= 0xC6:
            return self._span(self._size(head - 0xC4))
        if 0xC7 <= head <= 0xC9 or 0xD4 <= head <= 0xD8:
            size = self._size(head - 0xC7) if head <= 0xC9 else 1 << head - 0xD4
            return self._extension(size, depth)
        raise ValueError("an unknown type")

    def _dict(self, count: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str | int):
                raise ValueError(f"a {type(key).__name__} as a name")
            found[key] = self.value(depth + 1)
        return found

    def _list(self, count: int, depth: int) -> list[Any]:
        found = []
        for _ in range(count):
            found.append(self.value(depth + 1))
        return found

    def _text(self, size: int) -> str:
        if size > MAX_TEXT_BYTES:
            raise ValueError(f"a text of {size} bytes")
        self._text_left -= size
        if self._text_left < 0:
            raise ValueError("too much text")
        return self._bytes(size).decode()

    def _span(self, size: int) -> Span:
        span = Span(self._file.tell(), size)
        if span.offset + size > self._end:
            raise ValueError("an incomplete file")
        self._file.seek(size, os.SEEK_CUR)
        return span

    def _extension(self, size: int, depth: int) -> Extension:
        code, start = self._number("b"), self._file.tell()
        if code != self._known:
            self._span(size)
            return Extension(code, None)
        content = self.value(depth + 1)
        if self._file.tell() != start + size:
            raise ValueError("a value of the wrong size")
        return Extension(code, content)

    def _size(self, log2_bytes: int) -> int:
        return int(self._number("BHI"[log2_bytes]))

    def _number(self, kind: str) -> Any:
        layout = f">{kind}"
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))[0]

    def _bytes(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ValueError("an incomplete file")
        return data
