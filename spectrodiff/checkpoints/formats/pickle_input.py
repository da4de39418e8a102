"""Arguments of pickle instructions; long ones stay in the file.

An instruction pushes a value that follows it, or works on those before. The sizes of values are
bounded here, in sum too; `safe_pickle` bounds the number of instructions.
"""

import codecs
import dataclasses
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError

# Longer texts and bytes stay in the file.
INLINE_BYTES = 4096
# The largest models have a thousand arrays, with 200 bytes of text each, or 4 kB for arrays that do
# not stay in the file.
MAX_INLINE_BYTES = 16 << 20
_DECODED_BYTES = 1 << 20  # of a text at a time


@dataclasses.dataclass(frozen=True, slots=True)
class LongValue:
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


class PickleInput:
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

    def skip(self, size: int, is_text: bool) -> LongValue:
        """Leaves bytes in the file, and goes on behind them."""
        start = self._stream.tell()
        if start + size > self.file.size:
            raise ValueError(f"{size:,} bytes that are not there")
        self._stream.seek(start + size)
        return LongValue(self.file, start, size, is_text)


# Function that reads the argument of an instruction.
ReadArgument = Callable[[PickleInput], Any]


def no_argument(_: PickleInput) -> None:
    """Reads nothing, for instructions without an argument."""


def _number(code: str) -> ReadArgument:
    packed = struct.Struct(code)

    def read(source: PickleInput) -> Any:
        (number,) = packed.unpack(source.read(packed.size))
        return number

    return read


def _sized(read_size: ReadArgument, encoding: str | None = None) -> ReadArgument:
    """Returns the reader of bytes, or of a text, after their number."""

    def read(source: PickleInput) -> bytes | str | LongValue:
        size = read_size(source)
        if size > INLINE_BYTES:
            return source.skip(size, is_text=encoding == "utf-8")
        if size < 0:
            raise ValueError("a negative size")
        data = source.read(size)
        return data if encoding is None else data.decode(encoding, "surrogatepass")

    return read


def _long(source: PickleInput) -> int:
    (size,) = source.read(1)
    return int.from_bytes(source.read(size), "little", signed=True)


def two_lines(source: PickleInput) -> tuple[str, str]:
    """Reads the argument of an instruction that names a module and what is in it."""
    return source.line(), source.line()


BYTE, _SHORT, _INT, UNSIGNED, UNSIGNED8 = map(_number, ("B", "<H", "<i", "<I", "<Q"))
PUSHED: Mapping[str, ReadArgument] = {
    "BININT": _INT,
    "BININT1": BYTE,
    "BININT2": _SHORT,
    "LONG1": _long,
    "BINFLOAT": _number(">d"),
    "BINUNICODE": _sized(UNSIGNED, "utf-8"),
    "SHORT_BINUNICODE": _sized(BYTE, "utf-8"),
    "BINUNICODE8": _sized(UNSIGNED8, "utf-8"),
    "BINBYTES": _sized(UNSIGNED),
    "SHORT_BINBYTES": _sized(BYTE),
    "BINBYTES8": _sized(UNSIGNED8),
    "BINSTRING": _sized(_INT, "latin-1"),
    "SHORT_BINSTRING": _sized(BYTE, "latin-1"),
}
