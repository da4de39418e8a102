"""Frames of MP3 files, counted without decoding; libsndfile only estimates their number.

A file is a sequence of frames with headers of four bytes. Most encoders put a frame without sound
in front, with the tag Xing, Info or VBRI, which states the number of frames that follow.
"""

import dataclasses
import functools
import mmap

_SYNC = 0xFFE00000
# Bits that are the same in all frames of a file: synchronization, version, layer and sample rate.
_COMMON_BITS = 0xFFFE0C00
_VERSIONS = {3: 1.0, 2: 2.0, 0: 2.5}
_RATES = (44_100, 48_000, 32_000)
_KILOBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # version 1
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # versions 2 and 2.5
}
# Frames in a row after which bytes are taken for an MP3 file.
_ROW = 3
# Maximum distance of the first frame from the beginning, without tags.
_SEARCHED_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class MpegFrames:
    """Frames of an MP3 file.

    Attributes:
        start: position of the first frame with sound.
        header: header of that frame.
        count: number of complete frames from there on.
        tag: kind of the tag before them, such as "Xing"; "" for none.
        stated: number of frames that the tag states; None if it states none.
    """

    start: int
    header: int
    count: int
    tag: str
    stated: int | None

    @property
    def frame_samples(self) -> int:
        """Number of samples in a frame."""
        return 1152 if _is_version_1(self.header) else 576

    def silent_frame(self) -> bytes:
        """Returns a frame of silence at the lowest bit rate."""
        # Without checksum and padding.
        header = self.header & 0xFFFF0DFF | 0x10000 | 1 << 12
        return header.to_bytes(4, "big").ljust(_frame_sizes(header)[header >> 9 & 0x7F], b"\0")


def find_frames(data: bytes | mmap.mmap) -> MpegFrames | None:
    """Counts the frames of an MP3 file; None if it is no MP3 file of a known bit rate.

    Args:
        data: contents of the file.
    """
    start = _first_frame(data, after_id3(data))
    if start is None:
        return None
    tag, stated = _read_tag(data, start)
    header = int.from_bytes(data[start : start + 4], "big")
    if tag:
        start += _frame_sizes(header)[header >> 9 & 0x7F]
        header = int.from_bytes(data[start : start + 4], "big") or header
    return MpegFrames(start, header, _count(data, start, header), tag, stated)


def after_id3(data: bytes | mmap.mmap) -> int:
    """Returns the position behind the ID3v2 tags at the beginning of a file."""
    position = 0
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        # Seven bits per byte.
        size = sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(data[position + 6 :][:4]))
        position += 10 + size + 10 * (data[position + 5] >> 4 & 1)
    return position


def _first_frame(data: bytes | mmap.mmap, start: int) -> int | None:
    for position in range(start, min(start + _SEARCHED_BYTES, len(data) - 4)):
        if data[position] == 0xFF and data[position + 1] >= 0xE0:
            header = int.from_bytes(data[position : position + 4], "big")
            if _follows(data, position, header, _ROW):
                return position
    return None


def _follows(data: bytes | mmap.mmap, position: int, first: int, number: int) -> bool:
    """Returns True if `number` frames like the first one follow, or all up to the end."""
    sizes = _frame_sizes(first)
    for count in range(number):
        header = int.from_bytes(data[position : position + 4], "big")
        size = sizes.get(header >> 9 & 0x7F)
        if (header ^ first) & _COMMON_BITS or size is None:
            return False
        position += size
        if position >= len(data):
            return count > 0
    return True


def _count(data: bytes | mmap.mmap, position: int, first: int) -> int:
    sizes, end = _frame_sizes(first), len(data)
    count = 0
    while position + 4 <= end:
        header = int.from_bytes(data[position : position + 4], "big")
        size = sizes.get(header >> 9 & 0x7F)
        if (header ^ first) & _COMMON_BITS or size is None:
            # Tags of other kinds, or damage: goes on with the next frame.
            found = data.find(b"\xff", position + 1, end)
            while found >= 0 and not _follows(data, found, first, 2):
                found = data.find(b"\xff", found + 1, end)
            if found < 0:
                break
            position = found
            continue
        position += size
        count += position <= end
    return count


def _frame_sizes(header: int) -> dict[int, int]:
    """Returns the size in bytes of frames like this one, by bits 9 to 15 of their headers.

    These are bit rate, sample rate and padding. Empty if the header is none of layer III.
    """
    return _sizes(header & _COMMON_BITS)


@functools.cache
def _sizes(header: int) -> dict[int, int]:
    version, rate_index = _VERSIONS.get(header >> 19 & 3), header >> 10 & 3
    if header & _SYNC != _SYNC or version is None or header >> 17 & 3 != 1 or rate_index == 3:
        return {}
    rate = _RATES[rate_index] / (1 if version == 1 else 2 if version == 2 else 4)
    bytes_per_kilobit = (144_000 if version == 1 else 72_000) / rate
    return {
        index << 3 | rate_index << 1 | padding: int(bytes_per_kilobit * kilobits) + padding
        for index, kilobits in enumerate(_KILOBITS[version == 1], start=1)
        for padding in (0, 1)
    }


def _is_version_1(header: int) -> bool:
    return header >> 19 & 3 == 3


def _read_tag(data: bytes | mmap.mmap, start: int) -> tuple[str, int | None]:
    """Returns the kind of the tag in the frame that starts there, and the number it states."""
    header = int.from_bytes(data[start : start + 4], "big")
    is_mono = header >> 6 & 3 == 3
    side_bytes = (17 if is_mono else 32) if _is_version_1(header) else (9 if is_mono else 17)
    for place in (start + 4 + side_bytes, start + 6 + side_bytes):  # behind a checksum
        kind = bytes(data[place : place + 4])
        if kind in (b"Xing", b"Info"):
            has_number = data[place + 7 : place + 8] and data[place + 7] & 1
            return kind.decode(), _number(data, place + 8) if has_number else None
    if data[start + 36 : start + 40] == b"VBRI":
        return "VBRI", _number(data, start + 36 + 14)
    return "", None


def _number(data: bytes | mmap.mmap, place: int) -> int | None:
    return int.from_bytes(data[place : place + 4], "big") or None
