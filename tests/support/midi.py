"""MIDI files made of messages."""

import io
from collections.abc import Sequence
from typing import Any

import mido


def midi_bytes(
    *tracks: Sequence[mido.Message | mido.MetaMessage], ticks_per_beat: int = 500, kind: int = 1
) -> bytes:
    """Returns the contents of a MIDI file; by default a tick is a millisecond."""
    file = mido.MidiFile(ticks_per_beat=ticks_per_beat, type=kind)
    file.tracks.extend(mido.MidiTrack(track) for track in tracks)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def on(delta: int, note: int, velocity: int = 100, channel: int = 0) -> mido.Message:
    return mido.Message("note_on", time=delta, note=note, velocity=velocity, channel=channel)


def off(delta: int, note: int, channel: int = 0) -> mido.Message:
    return mido.Message("note_off", time=delta, note=note, channel=channel)


def control(delta: int, number: int, value: int, channel: int = 0) -> mido.Message:
    return mido.Message("control_change", time=delta, control=number, value=value, channel=channel)


def program(delta: int, number: int, channel: int = 0) -> mido.Message:
    return mido.Message("program_change", time=delta, program=number, channel=channel)


def bend(delta: int, value: int, channel: int = 0) -> mido.Message:
    """Returns a pitch bend; the value is -8192..8191."""
    return mido.Message("pitchwheel", time=delta, pitch=value, channel=channel)


def exclusive(delta: int, *payload: int) -> mido.Message:
    return mido.Message("sysex", time=delta, data=payload)


def meta(kind: str, delta: int = 0, **values: Any) -> mido.MetaMessage:
    return mido.MetaMessage(kind, time=delta, **values)


def chunk(name: bytes, contents: bytes, length: int | None = None) -> bytes:
    """Returns a chunk; its length may be a wrong one."""
    size = len(contents) if length is None else length
    return name + size.to_bytes(4, "big") + contents


def header(kind: int = 0, tracks: int = 1, division: int = 500) -> bytes:
    numbers = (kind, tracks, division & 0xFFFF)
    return chunk(b"MThd", b"".join(number.to_bytes(2, "big") for number in numbers))


END = bytes([0, 0xFF, 0x2F, 0])
"""End-of-track event."""
