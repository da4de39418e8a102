"""Tracks of a MIDI file, found in whatever the file is wrapped in."""

import dataclasses
import struct
from collections.abc import Iterator

from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.track import Track, parse_track

# Bounds the time and memory of reading: a file of this size has at most 1.4 million notes.
MAX_FILE_BYTES = 4 * 2**20

_MAX_PATTERNS = 1000

_HEADER_BYTES = 14
_MAC_BINARY_BYTES = 128
# Bytes that programs leave behind a file: end of line, end of file, padding.
_FILLING = b"\r\n\x1a\0 "


@dataclasses.dataclass(frozen=True)
class MidiFile:
    """Contents of a MIDI file before its events are interpreted.

    Attributes:
        patterns: tracks that sound together, one group after the other; only a file of type 2 has
            several groups.
        ticks_per_beat: resolution of the file; 0 if it counts in frames per second.
        ticks_per_second: resolution of a file with SMPTE time codes; 0 if it counts in beats.
        damage: where the file broke, in one phrase; "" if it is whole.
        remarks: oddities of the file's structure by which nothing is lost.
    """

    patterns: list[list[Track]]
    ticks_per_beat: int
    ticks_per_second: float
    damage: str
    remarks: tuple[str, ...]


def parse_file(data: bytes, name: str) -> MidiFile:
    """Parses the chunks of a MIDI file and the events of its tracks.

    Reads plain files, files in RIFF (.rmi) and files with a MacBinary header. Lengths and numbers
    of tracks may be wrong, chunks of other kinds are skipped.

    Args:
        data: contents of the file.
        name: name of the file in errors.

    Raises:
        MidiError: if the data is not a MIDI file, is too long, or has no tracks.
    """
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(name, f"at most {MAX_FILE_BYTES >> 20} MiB of MIDI", "a longer file")
    data = _unwrap(data)
    if len(data) < _HEADER_BYTES or data[:4] != b"MThd":
        long_enough = len(data) >= _HEADER_BYTES
        got = f"one that starts with {data[:4]!r}" if long_enough else f"only {len(data)} bytes"
        raise MidiError(name, "a MIDI file", got)
    header_bytes, kind, num_tracks, division = struct.unpack(">IHHh", data[4:_HEADER_BYTES])
    ticks_per_beat, ticks_per_second = _resolution(division, name)

    first = 8 + header_bytes
    if header_bytes < 6 or not _is_chunk(data, first):
        first = _HEADER_BYTES
    walk = _Walk(data, num_tracks)
    tracks = list(walk.tracks(first))
    if not tracks:
        raise MidiError(name, "a MIDI file with tracks", walk.damage or "none")
    if walk.damage and not any(track.events or track.ended for track in tracks):
        raise MidiError(name, "a MIDI file", f"one whose {walk.damage}")
    remarks = walk.remarks()
    if kind > 2:
        remarks.append(f"unknown type {kind}, read as type 1")
    if len(tracks) != num_tracks:
        found = f"{len(tracks)} track{'s' * (len(tracks) > 1)}"
        remarks.append(f"{found}, although the header says {num_tracks}")
    patterns = [tracks]
    if kind == 2 and len(tracks) > _MAX_PATTERNS:
        raise MidiError(name, f"at most {_MAX_PATTERNS} patterns", f"{len(tracks)}")
    if kind == 2 and len(tracks) > 1:
        patterns = [[track] for track in tracks]
        remarks.append(f"type 2: {len(tracks)} patterns, read one after another")
    clipped = sum(track.clipped for track in tracks)
    if clipped:
        remarks.append(f"{clipped} data byte{'s' * (clipped > 1)} above 127 read as 127")
    return MidiFile(patterns, ticks_per_beat, ticks_per_second, walk.damage, tuple(remarks))


class _Walk:
    """Finds the tracks of a file.

    Attributes:
        damage: the first place where the file broke, with the reason.
    """

    def __init__(self, data: bytes, num_tracks: int) -> None:
        self._data = data
        # Tracks behind bytes that are no chunk are remains of other files, unless some are missing.
        self._num_tracks = max(num_tracks, 1)
        self.damage = ""
        # Number of bytes that were ignored at each place, and where that is.
        self._ignored: list[tuple[int, str]] = []

    def remarks(self) -> list[str]:
        """Returns oddities by which nothing is lost."""
        if not self._ignored:
            return []
        count, places = sum(count for count, _ in self._ignored), len(self._ignored)
        where = self._ignored[0][1] if places == 1 else f"in {places} places"
        return [f"{count} byte{'s' * (count > 1)} {where} ignored"]

    def tracks(self, position: int) -> Iterator[Track]:
        """Yields the tracks from a position on."""
        data, number = self._data, 0
        while len(data) - position >= 8:
            if data[position : position + 4] == b"MTrk":
                number += 1
                track, position = self._track(position, number)
                yield track
            elif data[position : position + 4] == b"MThd":
                self._ignore(data[position:], "after the last chunk")
                return  # another file, which was joined to this one
            elif _is_chunk(data, position):
                position += 8 + _length(data, position)
            else:
                found = data.find(b"MTrk", position) if number < self._num_tracks else -1
                skipped = data[position : None if found < 0 else found]
                self._ignore(skipped, "between chunks" if found >= 0 else "after the last chunk")
                position = len(data) if found < 0 else found
        rest = data[position:]
        if rest and b"MTrk".startswith(rest[:4]):
            self._break(f"last track is cut off at byte {len(data)}")
        else:
            self._ignore(rest, "after the last chunk")

    def _track(self, position: int, number: int) -> tuple[Track, int]:
        """Returns the track of a chunk, and the position of the next chunk."""
        data, start = self._data, position + 8
        declared = start + _length(data, position)
        left = len(data) - declared
        if left == 0 or _is_chunk(data, declared):
            track = parse_track(data[start:declared])
            after = declared
            if track.ended:
                unread = data[start + track.num_bytes : declared]
                self._ignore(unread, f"after the end of track {number}")
        else:
            # The length is wrong, or bytes that are no chunk follow the last track.
            track = parse_track(data, start, until_chunk=True)
            after = start + track.num_bytes
            if track.problem and left > 0 and data.find(b"MTrk", declared) < 0:
                track, after = parse_track(data[start:declared]), declared
            elif not track.ended and not track.problem and left < 0 and after == len(data):
                track = dataclasses.replace(track, problem="is cut off")
        if track.problem:
            self._break(f"track {number} {track.problem} at byte {start + track.num_bytes}")
            if data.find(b"MTrk", after) < 0:
                after = len(data)
        return track, after

    def _break(self, damage: str) -> None:
        self.damage = self.damage or damage

    def _ignore(self, unread: bytes, where: str) -> None:
        if unread.strip(_FILLING):
            self._ignored.append((len(unread), where))


def _unwrap(data: bytes) -> bytes:
    """Removes a MacBinary header or a RIFF container."""
    if data[:1] == b"\0" and data[_MAC_BINARY_BYTES : _MAC_BINARY_BYTES + 4] in (b"MThd", b"RIFF"):
        # The other data of the file on a Macintosh, such as its icon, follow.
        length = int.from_bytes(data[83:87], "big")
        data = data[_MAC_BINARY_BYTES:][: length or None]
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    position = 12
    while position + 8 <= len(data):
        (length,) = struct.unpack("<I", data[position + 4 : position + 8])
        if data[position : position + 4] == b"data":
            # A length of 0 stands for one that was not known.
            return data[position + 8 :][: length or None]
        position += 8 + length + length % 2
    return data


def _resolution(division: int, name: str) -> tuple[int, float]:
    """Returns the ticks per beat and the ticks per second of a file; one of them is 0."""
    if division > 0:
        return division, 0.0
    frames, ticks = -(division >> 8), division & 0xFF
    if division == 0 or not ticks:
        raise MidiError(name, "a MIDI file with ticks per beat or per frame", "none")
    # 29 stands for the frames of NTSC television.
    return 0, ticks * (30_000 / 1001 if frames == 29 else frames)


def _is_chunk(data: bytes, position: int) -> bool:
    """Returns True if a chunk begins at a position: a track, or any other that fits the file."""
    kind = data[position : position + 4]
    if kind == b"MTrk":
        return len(data) - position >= 8
    if len(data) - position < 8 or not all(0x20 <= byte < 0x7F for byte in kind):
        return False
    return position + 8 + _length(data, position) <= len(data)


def _length(data: bytes, position: int) -> int:
    return int.from_bytes(data[position + 4 : position + 8], "big")
