"""Writing of notes as MIDI files."""

import io
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from spectrodiff.core.files import atomic_file
from spectrodiff.music.midi.channel import DRUM_CHANNEL
from spectrodiff.music.notes import Notes

_TICKS_PER_SECOND = 1000
_MICROSECONDS_PER_BEAT = 500_000
_PITCHED_CHANNELS = [channel for channel in range(16) if channel != DRUM_CHANNEL]


def write_midi(notes: Notes, path: str | os.PathLike[str]) -> None:
    """Writes notes as a MIDI file, with times rounded to milliseconds.

    Args:
        notes: the notes; each program gets a track of its own, drums one on channel 10.
        path: file to write; an existing one is replaced.

    Raises:
        OutputError: if the file cannot be written.
    """
    with atomic_file(Path(path)) as temporary:
        temporary.write_bytes(encode_midi(notes))


def encode_midi(notes: Notes) -> bytes:
    """Returns a MIDI file with one track per instrument and times rounded to milliseconds.

    A port has fifteen channels for pitched instruments. Those beyond are on further ports; players
    that know only one port give them wrong instruments. Notes of one instrument and pitch that
    overlap end together when they are read again.
    """
    import mido

    midi = mido.MidiFile(ticks_per_beat=_TICKS_PER_SECOND * _MICROSECONDS_PER_BEAT // 1_000_000)
    midi.add_track().append(mido.MetaMessage("set_tempo", tempo=_MICROSECONDS_PER_BEAT))
    rows: dict[tuple[bool, int], list[int]] = defaultdict(list)
    for row in range(len(notes)):
        rows[bool(notes.is_drum[row]), int(notes.program[row])].append(row)
    first_tick = np.rint(notes.onset_seconds * _TICKS_PER_SECOND).astype(np.int64)
    last_tick = np.rint(notes.offset_seconds * _TICKS_PER_SECOND).astype(np.int64)
    # A note without ticks would end before it begins, that is, never.
    last_tick = np.maximum(last_tick, first_tick + 1)
    pitched = 0
    for (is_drum, program), track_rows in sorted(rows.items()):
        port, channel = 0, DRUM_CHANNEL
        if not is_drum:
            port, place = divmod(pitched, len(_PITCHED_CHANNELS))
            channel, pitched = _PITCHED_CHANNELS[place], pitched + 1
        track = midi.add_track()
        if port:
            track.append(mido.MetaMessage("midi_port", port=port))
        track.append(mido.Message("program_change", channel=channel, program=program))
        # Ends come before beginnings at the same tick.
        events = sorted(
            (tick, velocity, pitch)
            for row in track_rows
            for tick, velocity, pitch in (
                (int(first_tick[row]), int(notes.velocity[row]), int(notes.pitch[row])),
                (int(last_tick[row]), 0, int(notes.pitch[row])),
            )
        )
        now = 0
        for tick, velocity, pitch in events:
            track.append(
                mido.Message(
                    "note_on", channel=channel, note=pitch, velocity=velocity, time=tick - now
                )
            )
            now = tick
    encoded = io.BytesIO()
    midi.save(file=encoded)
    return encoded.getvalue()
