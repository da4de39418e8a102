"""Lengths that audio files declare, and what to show a decoder where they are wrong.

Programs that write to a pipe, or that die, leave a length of zero or the largest possible number in
the header. libsndfile then reads nothing, or refuses the file. It also estimates the length of an
MP3 file from its first frame, and reads no more than that. Here the headers are read independently.
"""

import dataclasses
import functools
import io
import logging
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from spectrodiff.audio.mpeg import after_id3, find_frames
from spectrodiff.core.files import is_utf8, open_regular

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

logger = logging.getLogger(__name__)

# Complete frames of an MP3 file that a decoder may leave out, at damage or at either end.
_LOST_FRAMES = 4
_SEARCHED_CHUNKS = 10_000
_BLOCK_BYTES = 1 << 16
# What stands behind the audio of files that were given tags by other programs.
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")


@dataclasses.dataclass(frozen=True)
class Container:
    """Audio file as it is shown to a decoder.

    Attributes:
        first: position of the first byte that is replaced.
        end: position after the last one; as `first` if nothing is replaced.
        replacement: bytes in their place.
        lead: number of frames that the decoder returns before the audio.
        is_truncated: whether the header declares more than there is.
        is_joined: whether several files were joined, of which the decoder reads one.
        is_open: whether the length is unknown until everything is decoded.
        least_frames: number of frames that an undamaged file has at least; 0 if unknown.
        total_at: position of the number of samples in the header of a FLAC file; -1 for others.
    """

    first: int = 0
    end: int = 0
    replacement: bytes = b""
    lead: int = 0
    is_truncated: bool = False
    is_joined: bool = False
    is_open: bool = False
    least_frames: int = 0
    total_at: int = -1

    def open(self, path: Path) -> Path | io.RawIOBase:
        """Returns the file as the decoder is to see it."""
        is_changed = self.first != self.end or self.replacement
        if not is_changed and is_utf8(str(path)) and not _is_misread(path):
            return path
        return _Spliced(path, self.first, self.end, self.replacement)

    def of_length(self, path: Path, frames: int) -> "Container":
        """Returns a container of a length that is known now, which is needed to seek in FLAC."""
        if self.total_at < 0:
            return self
        with open_regular(path) as file:
            file.seek(self.end)
            header = file.read(self.total_at + 1 - self.end)
        # The first half of the first byte is no part of the number.
        number = ((header[-1] & 0xF0) << 32 | frames).to_bytes(5, "big")
        return dataclasses.replace(self, end=self.total_at + 5, replacement=header[:-1] + number)


def _is_misread(path: Path) -> bool:
    """Returns True if the decoder goes by the name of a file, or by files beside it.

    soundfile wants to be told what is in a .raw file. libsndfile takes an MP3 file for Sound
    Designer's if a file that macOS writes to other disks stands beside it.
    """
    forks = (path.with_name(f"._{path.name}"), path.parent / ".AppleDouble" / path.name)
    return path.suffix.lower() == ".raw" or any(os.path.lexists(fork) for fork in forks)


def read_container(path: Path) -> Container:
    """Reads how long a file claims to be, and how long it is.

    Raises:
        OSError: if the file cannot be read.
    """
    status = path.stat()
    return _read_container(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _read_container(path: Path, modified: int, size: int) -> Container:
    del modified  # a key of the cache
    with open_regular(path) as file:
        magic = file.read(16)
        for layout in _LAYOUTS:
            is_kind = not layout.kinds or magic[8:12] in layout.kinds
            if magic.startswith(layout.magic) and is_kind:
                return _of_chunks(path, file, size, layout)
        if magic.startswith(b".snd"):
            return _of_au(path, file, size, magic)
        if not size:
            return Container()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _of_ogg(data) if magic.startswith(b"OggS") else _of_stream(data)


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Format that consists of chunks, each with an identifier and a size.

    Attributes:
        magic: first bytes of a file.
        kinds: possible values of bytes 8 to 11; empty for any.
        start: position of the first chunk.
        data: identifier of the chunk with the audio.
        id_bytes: size of an identifier.
        size_bytes: size of the number that follows it.
        order: order of the bytes of numbers.
        counts_header: whether sizes of chunks include identifier and size.
        alignment: chunks begin at multiples of this.
        extra: bytes before the audio that count as part of the chunk.
    """

    magic: bytes
    kinds: tuple[bytes, ...]
    start: int
    data: bytes
    id_bytes: int = 4
    size_bytes: int = 4
    order: Literal["little", "big"] = "little"
    counts_header: bool = False
    alignment: int = 2
    extra: int = 0

    @property
    def header(self) -> int:
        return self.id_bytes + self.size_bytes

    def number(self, data: bytes) -> int:
        return int.from_bytes(data, self.order)

    def bytes_of(self, number: int) -> bytes:
        number = min(number, 2 ** (8 * self.size_bytes) - 1)
        return number.to_bytes(self.size_bytes, self.order)


_LAYOUTS = (
    _Layout(b"RIFF", (b"WAVE",), 12, b"data"),
    _Layout(b"RIFX", (b"WAVE",), 12, b"data", order="big"),
    _Layout(b"RF64", (b"WAVE",), 12, b"data"),
    _Layout(
        b"riff\x2e\x91\xcf\x11",
        (),
        40,
        b"data",
        id_bytes=16,
        size_bytes=8,
        counts_header=True,
        alignment=8,
    ),
    _Layout(b"FORM", (b"AIFF", b"AIFC"), 12, b"SSND", order="big", extra=8),
    _Layout(b"caff", (), 8, b"data", size_bytes=8, order="big", alignment=1, extra=4),
)


def _of_chunks(path: Path, file: BinaryIO, size: int, layout: _Layout) -> Container:
    """Compares the size that the chunk with the audio declares with what follows it."""
    block, long_size_at, position = 1, None, layout.start
    for _ in range(_SEARCHED_CHUNKS):
        file.seek(position)
        header = file.read(layout.header)
        if len(header) < layout.header:
            break
        length = layout.number(header[layout.id_bytes :])
        length -= layout.header if layout.counts_header else 0
        if header.startswith(layout.data):
            start, at = position + layout.header + layout.extra, position + layout.id_bytes
            if long_size_at is not None:
                # The true size of an RF64 file, in 64 bits, stands in a chunk of its own.
                file.seek(long_size_at)
                length, at = layout.number(file.read(8)), long_size_at
                layout = dataclasses.replace(layout, size_bytes=8)
            return _compared(path, file, size, layout, start, length - layout.extra, block, at)
        if header.startswith(b"fmt "):
            block = layout.number(file.read(14)[12:14]) or 1
        if header.startswith(b"ds64"):
            long_size_at = position + layout.header + 8
        position += layout.header + length
        position += -position % layout.alignment
        # A size in 64 bits can be beyond any position.
        if length < 0 or position > size:
            break
    return Container()


def _of_au(path: Path, file: BinaryIO, size: int, magic: bytes) -> Container:
    start = int.from_bytes(magic[4:8], "big")
    layout = _Layout(b".snd", (), 0, b"", order="big")
    length = layout.number(magic[8:12])
    return _compared(path, file, size, layout, start, length, 1, 8)


def _compared(
    path: Path,
    file: BinaryIO,
    size: int,
    layout: _Layout,
    start: int,
    declared: int,
    block: int,
    at: int,
) -> Container:
    """Compares a declared length with the number of bytes that are there.

    Args:
        path: name of the file.
        file: the file.
        size: its size.
        layout: its format.
        start: position of the audio.
        declared: declared size of the audio, without `layout.extra`.
        block: bytes of all channels of a sample.
        at: position of the declared size.
    """
    there = max(size - start, 0)
    is_unknown = declared <= 0 or _is_largest(declared + layout.extra, 8 * layout.size_bytes)
    if declared > there and not is_unknown:
        return Container(is_truncated=declared // block > there // block)
    if 0 <= declared <= there and _is_described(file, start + declared, size, layout):
        return Container()
    if not is_unknown:
        message = "%s: declares %d bytes of audio, reading all %d that are there"
        logger.warning(message, path, declared, there)
    header = layout.header if layout.counts_header else 0
    return Container(at, at + layout.size_bytes, layout.bytes_of(there + layout.extra + header))


def _is_largest(length: int, bits: int) -> bool:
    """Returns True for numbers that mean an unknown length: about the largest ones, or negative."""
    if bits == 64:
        return length >= 2**62
    # Of 31 or of 32 bits, as some programs have them rounded or without the header.
    return length in (0x80000000, 0xFFFFFFFF) or length % 0x80000000 >= 0x7FFFF000


def _is_described(file: BinaryIO, position: int, size: int, layout: _Layout) -> bool:
    """Returns True if a chunk, a tag, zeros or nothing stand behind the audio."""
    if size - position < layout.header or _is_end(file, position):
        return True
    # Some programs do not align chunks.
    aligned = position + -position % layout.alignment
    places = {position, aligned} if layout.start else ()
    return any(_is_chunk(file, place, size, layout) for place in places)


def _is_chunk(file: BinaryIO, position: int, size: int, layout: _Layout) -> bool:
    file.seek(position)
    header = file.read(layout.header)
    if len(header) < layout.header or _is_end(file, position):
        return True
    end = position + layout.number(header[layout.id_bytes :])
    end += 0 if layout.counts_header else layout.header
    # Samples are seldom letters, and seldom a size that fits. A file cut off in a list of titles
    # has all of its audio.
    is_list = header.startswith((b"LIST", b"id3 ", b"ID3 "))
    return all(0x20 <= byte < 0x7F for byte in header[:4]) and (end <= size or is_list)


def _is_end(file: BinaryIO, position: int) -> bool:
    """Returns True if a tag follows, or nothing but zeros."""
    file.seek(position)
    block = file.read(_BLOCK_BYTES)
    if block.startswith(_TAGS):
        return True
    while block and not any(block):
        block = file.read(_BLOCK_BYTES)
    return not block


def _of_ogg(data: mmap.mmap) -> Container:
    """Notices files that were joined, of which libsndfile reads only the first one."""
    is_begun, position = False, 0
    while position >= 0:
        # Behind the mark of a page: version, and flags, of which 2 begins a stream.
        begins = data[position + 4 : position + 5] == b"\0" and data[position + 5 : position + 6]
        if begins and begins[0] & 2 and is_begun:
            return Container(is_joined=True)
        is_begun = is_begun or bool(begins and not begins[0] & 2)
        position = data.find(b"OggS", position + 4)
    return Container()


def _of_stream(data: mmap.mmap) -> Container:
    """Describes a FLAC or MP3 file."""
    start = after_id3(data)
    if data[start : start + 4] == b"fLaC":
        total_at = start + 21
        number = data[total_at : total_at + 5]
        is_open = len(number) == 5 and int.from_bytes(number, "big") % 2**36 == 0
        if not is_open:
            return Container()
        # libsndfile does not notice the end of a truncated file behind a tag.
        return Container(end=start, is_open=True, total_at=total_at)
    frames = find_frames(data)
    if frames is None:
        return Container()
    if frames.tag in ("Xing", "Info") and frames.stated and frames.count <= frames.stated + 1:
        return Container()
    # The length is estimated from the first frame: with one of the lowest bit rate, as too long.
    return Container(
        end=frames.start,
        replacement=frames.silent_frame(),
        lead=frames.frame_samples,
        is_truncated=frames.stated is not None and frames.count < frames.stated - _LOST_FRAMES,
        is_open=True,
        least_frames=max(frames.count - _LOST_FRAMES, 0) * frames.frame_samples,
    )


class _Spliced(io.RawIOBase):
    """File of which some bytes are replaced by others, for reading."""

    def __init__(self, path: Path, first: int, end: int, replacement: bytes) -> None:
        self._file = open_regular(path)
        self._first, self._end, self._new = first, end, replacement
        self._size = path.stat().st_size - (end - first) + len(replacement)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        wanted = memoryview(buffer)
        filled = 0
        while filled < len(wanted):
            part = self._part(len(wanted) - filled)
            if not part:
                break
            wanted[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled

    def _part(self, size: int) -> bytes:
        """Reads from one of the three parts of the file."""
        before, behind = self._first - self._position, self._position - self._first - len(self._new)
        if before <= 0 and behind < 0:
            return self._new[-before : size - before]
        self._file.seek(self._position if before > 0 else self._end + behind)
        return self._file.read(min(size, before) if before > 0 else size)

    def close(self) -> None:
        self._file.close()
        super().close()
