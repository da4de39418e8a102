"""Zip archives: directories of bounded size, and members that are stored as they are."""

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from spectrodiff.checkpoints.weights_file import WeightsFile
from spectrodiff.core.errors import CheckpointError, first_line

# The directory takes about 100 bytes per member, and up to twenty times as much memory. The largest
# models have about a thousand members, T5X checkpoints of them a few thousand.
MAX_DIRECTORY_BYTES = 4 << 20
# What the `zipfile` module raises for archives that are damaged or use what it does not know.
DAMAGE = (
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADER = struct.Struct("<4s22xHH")  # of a member: its mark, and the lengths of two fields after it
_HEADER_MARK = b"PK\x03\x04"
_ENCRYPTED = 1


class StoredMember(NamedTuple):
    """Member of an archive that is neither compressed nor encrypted."""

    file: WeightsFile
    header_at: int
    size: int  # in bytes
    crc: int

    def start(self) -> int:
        """Returns the position of its first byte in the file; CheckpointError if damaged."""
        header = self.file.read(self.header_at, _HEADER.size)
        mark, *fields = _HEADER.unpack(header)
        if mark != _HEADER_MARK:
            raise CheckpointError(self.file.path, "a complete zip archive", "a damaged one")
        return self.header_at + _HEADER.size + sum(fields)

    def read(self, start: int, size: int) -> bytes:
        """Reads a range, and compares the checksum if it is the whole member.

        Raises:
            CheckpointError: if the archive is damaged or was changed.
        """
        data = self.file.read(self.start() + start, size)
        if size == self.size and zlib.crc32(data) != self.crc:
            raise CheckpointError(
                self.file.path, "a complete zip archive", "damage (a wrong checksum, CRC-32)"
            )
        return data


@contextlib.contextmanager
def open_archive(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose directory is of bounded size.

    Members that are compressed by other methods than that of most archives are refused: a few of
    their bytes can unpack to any number at once.

    Raises:
        Exceptions in `DAMAGE`: if it is damaged, or the directory is too large.
    """
    with zipfile.ZipFile(_ShortReads(file)) as archive:
        if not all(member.compress_type in _METHODS for member in archive.infolist()):
            raise zipfile.BadZipFile("another compression than deflate")
        yield archive


def stored_members(file: WeightsFile) -> dict[str, StoredMember]:
    """Returns the members of an archive by name.

    Raises:
        CheckpointError: if it is damaged, or members are compressed, encrypted or of one name.
    """
    try:
        with file.open() as opened, open_archive(opened) as archive:
            infos = archive.infolist()
    except DAMAGE as error:
        raise CheckpointError(file.path, "a complete zip archive", first_line(error)) from None
    members = {
        info.filename: StoredMember(file, info.header_offset, info.file_size, info.CRC)
        for info in infos
        if info.compress_type == zipfile.ZIP_STORED
        and info.compress_size == info.file_size
        and not info.flag_bits & _ENCRYPTED
    }
    if len(members) != len(infos):
        raise CheckpointError(
            file.path,
            "a zip archive of uncompressed members of different names",
            f"{len(infos)} members, of which {len(members)} are such",
        )
    return members


class _ShortReads:
    """File whose reads are bounded: the longest one is that of the directory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        data = b""
        if size <= MAX_DIRECTORY_BYTES:
            data = self._file.read(MAX_DIRECTORY_BYTES + 1 if size < 0 else size)
        if max(size, len(data)) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"a directory of more than {MAX_DIRECTORY_BYTES:,} bytes")
        return data
