"""Events of one track of a MIDI file."""

import dataclasses
from array import array

# Meta events that are used; all others are skipped, whatever is in them.
_PORT, _END_OF_TRACK, _TEMPO = 0x21, 0x2F, 0x51
# Number of data bytes of the system messages that are not allowed in files, but occur.
_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}

# Channels of the parts of a Roland GS synthesizer, whose first part is the drums.
_ROLAND_CHANNELS = (9, *range(9), *range(10, 16))

# Status of system exclusive messages in `Track.events`, and their first data byte.
SYSTEM = 0xF0
RESET, RHYTHM_PART, MASTER_VOLUME = 0x00, 0x10, 0x20
# Second data byte of a reset.
GENERAL_MIDI, ROLAND_GS, YAMAHA_XG = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Track:
    """Events of a track in the order of the file.

    Attributes:
        ticks: time of each event.
        events: messages as numbers: port << 24 | status << 16 | first data byte << 8 | second. A
            system exclusive message that is used has the status SYSTEM and one of RESET,
            RHYTHM_PART | channel and MASTER_VOLUME as its first data byte.
        tempos: tick and microseconds per beat of each tempo event.
        end_tick: time of the last event of any kind.
        num_bytes: number of bytes that were parsed.
        ended: whether the track has an end-of-track event.
        problem: why the track could not be parsed to its end, as a predicate; "" if it could.
        clipped: number of data bytes above 127, which are read as 127.
    """

    ticks: "array[int]"
    events: "array[int]"
    tempos: list[tuple[int, int]]
    end_tick: int
    num_bytes: int
    ended: bool
    problem: str
    clipped: int


class _BrokenError(Exception):
    """Bytes that are no event; the message is a predicate of the track."""


def parse_track(data: bytes, start: int = 0, *, until_chunk: bool = False) -> Track:
    """Parses the events of a track up to its end, or up to the first that is broken.

    Running status continues across meta events and system exclusive messages. The first port of a
    track holds from its beginning.

    Args:
        data: bytes that contain the track.
        start: position of the first event.
        until_chunk: end the track where another track begins; otherwise, it ends with the data.
    """
    ticks, events = array("q"), array("q")
    tempos: list[tuple[int, int]] = []
    position, end = start, len(data)
    tick = status = port = clipped = 0
    ended, has_port, problem = False, False, ""
    begin = position  # of the event that is being parsed
    try:
        while position < end:
            begin = position
            if until_chunk and data[position : position + 4] == b"MTrk":
                break
            delta, position = _variable_length(data, position)
            byte = data[position]
            if byte >= 0xF0:
                kind, payload, position = _system_event(data, position)
                tick += delta
                if kind == _END_OF_TRACK:
                    ended = True
                    break
                if kind == _TEMPO and len(payload) >= 3 and any(payload[:3]):
                    tempos.append((tick, int.from_bytes(payload[:3], "big")))
                elif kind == _PORT and payload:
                    port = payload[0] << 24
                    if not has_port:
                        # Programs often precede the port of their track.
                        events = array("q", (event | port for event in events))
                    has_port = True
                elif kind == SYSTEM and (used := _decode_exclusive(payload)):
                    ticks.append(tick)
                    events.append(port | SYSTEM << 16 | used[0] << 8 | used[1])
                continue
            if byte >= 0x80:
                status, position = byte, position + 1
            elif not status:
                raise _BrokenError("breaks off (data without a status)")
            first, second = data[position], 0
            if 0xC0 <= status < 0xE0:
                position += 1
            else:
                second = data[position + 1]
                position += 2
            if first > 0x7F or second > 0x7F:
                clipped += (first > 0x7F) + (second > 0x7F)
                first, second = min(first, 0x7F), min(second, 0x7F)
            tick += delta
            ticks.append(tick)
            events.append(port | status << 16 | first << 8 | second)
    except IndexError:
        position, problem = begin, "is cut off"
    except _BrokenError as error:
        position, problem = begin, str(error)
    return Track(ticks, events, tempos, tick, position - start, ended, problem, clipped)


def _variable_length(data: bytes, position: int) -> tuple[int, int]:
    """Returns the number at a position, and the position after it."""
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value = 0
    for place in range(position, position + 4):
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    raise _BrokenError("breaks off (a number of more than 4 bytes)")


def _system_event(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Returns the kind of a meta event or SYSTEM, its payload, and the position after it."""
    status, position = data[position], position + 1
    if status == 0xFF:
        kind, position = data[position], position + 1
        if kind == _END_OF_TRACK:
            # Its length may be missing at the end of a file that was cut off.
            return kind, b"", min(position + 1, len(data))
    elif status in (SYSTEM, 0xF7):
        kind = status
    else:
        return status, b"", position + _SYSTEM_DATA_BYTES.get(status, 0)
    length, position = _variable_length(data, position)
    left = len(data) - position
    if length > left:
        raise _BrokenError(f"breaks off (an event of {length} bytes, where {left} are left)")
    return kind, data[position : position + length], position + length


def _decode_exclusive(payload: bytes) -> tuple[int, int] | None:
    """Returns the two data bytes in `Track.events` of a message that is used."""
    # Numbers of devices and checksums may be anything.
    match tuple(payload[:16].rstrip(b"\xf7")):
        case (0x7E, _, 0x09, 1 | 2 | 3):
            return RESET, GENERAL_MIDI
        case (0x41, _, 0x42, 0x12, 0x40 | 0x00, 0x00, 0x7F, _, _):
            return RESET, ROLAND_GS
        case (0x43, _, 0x4C, 0x00, 0x00, 0x7E | 0x7F, 0x00):
            return RESET, YAMAHA_XG
        case (0x41, _, 0x42, 0x12, 0x40, part, 0x15, value, _) if 0x10 <= part < 0x20:
            return RHYTHM_PART | _ROLAND_CHANNELS[part & 0x0F], int(value > 0)
        case (0x43, _, 0x4C, 0x08, part, 0x07, mode) if part < 0x10:
            return RHYTHM_PART | part, int(mode > 0)
        case (0x7F, _, 0x04, 0x01, _, volume) if volume < 0x80:
            return MASTER_VOLUME, volume
    return None
