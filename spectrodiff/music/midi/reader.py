"""Reading of MIDI files as players read them."""

import dataclasses
import os
from collections import Counter

import numpy as np

from spectrodiff.core.errors import MidiError, first_line
from spectrodiff.core.files import open_regular
from spectrodiff.music.midi.channel import BENDS
from spectrodiff.music.midi.container import MAX_FILE_BYTES, parse_file
from spectrodiff.music.midi.performance import Performance, perform
from spectrodiff.music.midi.tempo import TempoMap
from spectrodiff.music.notes import MAX_SONG_SECONDS, NOTE_COLUMNS, Notes

MidiSource = str | os.PathLike[str] | bytes | bytearray | memoryview


@dataclasses.dataclass(frozen=True)
class MidiSong:
    """Contents of a MIDI file.

    Attributes:
        notes: the notes, with remarks.
        tempos: time in seconds and beats per minute of each change of tempo; empty if the file
            counts in frames per second.
    """

    notes: Notes
    tempos: list[tuple[float, float]]


def read_midi(source: MidiSource) -> Notes:
    """Reads a MIDI file as players read it.

    Tracks are merged in time before they are interpreted: tempo is that of all tracks; programs,
    pedals and controllers belong to a channel, whatever track they stand in. Notes held by a pedal
    are extended. Volume and expression scale velocities. Notes without an end last to the end of
    the song.

    Args:
        source: MIDI file, or its contents: types 0 to 2, in RIFF (.rmi), or with a MacBinary
            header.

    Returns:
        The notes in order of onset. `remarks` says what is odd in the file and what a listener
        would miss; `damage` is not empty if a part of the file could not be read.

    Raises:
        MidiError: if the file cannot be read, is no MIDI file, or lasts more than a day.
    """
    return read_midi_song(source).notes


def read_midi_song(source: MidiSource) -> MidiSong:
    """Reads the notes and tempos of a MIDI file; see `read_midi`."""
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(bytes(source), "MIDI")
    try:
        # Pipes, as in <(program) or /dev/stdin, can be read once, which is enough here.
        with open_regular(source, pipes=True) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # the latter for paths that cannot be
        reason = first_line(error)
        raise MidiError(source, "a readable MIDI file", reason) from error
    return _read(data, os.fspath(source))


def length(seconds: float) -> str:
    """Describes the length of a song: "12.5 s", "186.0 s (3:06)"."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, whole_seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{seconds:.1f} s ({clock}:{whole_seconds:02})"


def check_length(name: str, notes: Notes, max_minutes: float) -> None:
    """Checks that a song is not longer than the commands render unless they are asked to.

    Raises:
        MidiError: if it is.
    """
    if notes.total_seconds > 60 * max_minutes:
        expected = f"a song of at most {max_minutes:g} minutes (longer ones with --max_minutes)"
        raise MidiError(name, expected, length(notes.total_seconds))


def _read(data: bytes, name: str) -> MidiSong:
    file = parse_file(data, name)
    parts: list[Performance] = []
    tempos: list[tuple[float, float]] = []
    start_seconds = 0.0
    for tracks in file.patterns:
        tempo = TempoMap(file, tracks)
        part = perform(tracks, tempo)
        for column in ("onset_seconds", "offset_seconds"):
            part.columns[column] += start_seconds
        if file.ticks_per_beat:
            times = (start_seconds + tempo.seconds).tolist()
            tempos += zip(times, (6e7 / tempo.microseconds_per_beat).tolist(), strict=True)
        parts.append(part)
        start_seconds += part.end_seconds
    columns = {
        column: np.concatenate([part.columns[column] for part in parts]) for column in NOTE_COLUMNS
    }
    last = columns["offset_seconds"].max(initial=0.0)
    if last > MAX_SONG_SECONDS:
        expected = f"a song of at most {MAX_SONG_SECONDS / 3600:g} h"
        raise MidiError(name, expected, f"{last / 3600:,.1f} h")
    damage = (file.damage,) if file.damage else ()
    remarks = (*damage, *file.remarks, *_remarks(parts))
    return MidiSong(Notes.from_columns(columns, remarks=remarks, damage=file.damage), tempos)


def _remarks(parts: list[Performance]) -> list[str]:
    """Says what is odd in the notes of a file and what a listener would miss."""
    remarks = []
    if unended := sum(part.unended for part in parts):
        remarks.append(f"{_notes(unended)} without an end")
    if short := sum(part.without_length for part in parts):
        remarks.append(f"{_notes(short)} of no length")
    if silent := sum(part.silent for part in parts):
        remarks.append(f"{_notes(silent)} with volume 0, read as velocity 1")
    touched = sum((part.touched for part in parts), Counter())
    for effect, count in touched.most_common():
        reach = ""
        if effect == BENDS:
            semitones = max(part.bend for part in parts)
            reach = f" (up to {semitones:.2g} semitone{'s' * (round(semitones, 2) != 1)})"
        remarks.append(f"{effect}{reach} of {_notes(count)} ignored")
    if any(part.master_volume for part in parts):
        remarks.append("changes of the master volume ignored")
    return remarks


def _notes(count: int) -> str:
    return f"{count} note{'s' * (count > 1)}"
