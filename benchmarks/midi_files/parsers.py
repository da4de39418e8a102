"""Notes of MIDI files by the parsers that are compared.

Each reader returns a table as `playing.COLUMNS` describes. Its time contains what a user has to do
to get notes in seconds with programs: conversion of ticks, programs of channels.
"""

import dataclasses
import importlib
from bisect import bisect_right
from collections.abc import Callable, Iterable

import numpy as np

from midi_files.players import mido_events
from midi_files.playing import COLUMNS, play

_DRUM_CHANNEL = 9
# note-seq removes the limit of pretty_midi; without it a file of sixty bytes takes gigabytes.
_MAX_TICKS = 1e7


@dataclasses.dataclass(frozen=True)
class Parser:
    """A reader of MIDI files.

    Attributes:
        package: what has to be installed.
        pedals: whether its notes last as long as a pedal holds them.
        load: imports the package and returns the function that reads a file.
    """

    package: str
    pedals: bool
    load: Callable[[], Callable[[str], np.ndarray]]


def _table(rows: Iterable[tuple]) -> np.ndarray:
    return np.array(list(rows), np.float64).reshape(-1, len(COLUMNS))


def _spectrodiff() -> Callable[[str], np.ndarray]:
    from spectrodiff.music.midi.reader import read_midi

    def read(path: str) -> np.ndarray:
        notes = read_midi(path)
        times = notes.onset_seconds, notes.offset_seconds
        return np.stack((*times, notes.pitch, notes.program, notes.is_drum), axis=1)

    return read


def _note_seq() -> Callable[[str], np.ndarray]:
    import note_seq
    import pretty_midi

    pretty_midi.pretty_midi.MAX_TICK = _MAX_TICKS

    def read(path: str) -> np.ndarray:
        sequence = note_seq.midi_file_to_note_sequence(path)
        sequence = note_seq.apply_sustain_control_changes(sequence)
        return _table(
            (note.start_time, note.end_time, note.pitch, note.program, note.is_drum)
            for note in sequence.notes
        )

    return read


def _pretty_midi() -> Callable[[str], np.ndarray]:
    import pretty_midi

    def read(path: str) -> np.ndarray:
        return _table(
            (note.start, note.end, note.pitch, instrument.program, instrument.is_drum)
            for instrument in pretty_midi.PrettyMIDI(path).instruments
            for note in instrument.notes
        )

    return read


def _mido() -> Callable[[str], np.ndarray]:
    importlib.import_module("mido")  # here, because an import takes time

    def read(path: str) -> np.ndarray:
        with open(path, "rb") as file:
            return play(*mido_events(file.read()), pedals=True)

    return read


def _symusic() -> Callable[[str], np.ndarray]:
    import symusic

    def read(path: str) -> np.ndarray:
        tables = []
        for track in symusic.Score(path, ttype="second").tracks:
            notes = track.notes.numpy()
            onset = notes["time"].astype(np.float64)
            table = np.empty((len(onset), len(COLUMNS)))
            table[:, 0], table[:, 1] = onset, onset + notes["duration"]
            table[:, 2:] = np.stack(
                np.broadcast_arrays(notes["pitch"], track.program, track.is_drum), axis=1
            )
            tables.append(table)
        return np.concatenate([_table(()), *tables])

    return read


def _miditoolkit() -> Callable[[str], np.ndarray]:
    import miditoolkit

    def read(path: str) -> np.ndarray:
        file = miditoolkit.MidiFile(path)
        seconds = file.get_tick_to_time_mapping()
        return _table(
            (
                seconds[note.start],
                seconds[note.end],
                note.pitch,
                instrument.program,
                instrument.is_drum,
            )
            for instrument in file.instruments
            for note in instrument.notes
        )

    return read


def _partitura() -> Callable[[str], np.ndarray]:
    import partitura

    def read(path: str) -> np.ndarray:
        parts = list(partitura.load_performance_midi(path).performedparts)
        # Its notes have no programs; those of the channel in the same track are near at hand.
        programs: dict[tuple[int, int, int], list[tuple[float, int]]] = {}
        for number, part in enumerate(parts):
            for change in sorted(part.programs, key=lambda change: change["time"]):
                key = number, change["track"], change["channel"]
                programs.setdefault(key, []).append((change["time"], change["program"]))

        def row(number: int, note: dict) -> tuple:
            changes = programs.get((number, note["track"], note["channel"]), [])
            index = bisect_right(changes, (note["note_on"], 127)) - 1
            return (
                note["note_on"],
                note["sound_off"],
                note["midi_pitch"],
                changes[index][1] if index >= 0 else 0,
                note["channel"] == _DRUM_CHANNEL,
            )

        return _table(row(number, note) for number, part in enumerate(parts) for note in part.notes)

    return read


PARSERS = {
    "spectrodiff": Parser("spectrodiff", True, _spectrodiff),
    "note-seq": Parser("note-seq", True, _note_seq),
    "pretty_midi": Parser("pretty_midi", False, _pretty_midi),
    "mido, merged": Parser("mido", True, _mido),
    "miditoolkit": Parser("miditoolkit", False, _miditoolkit),
    "partitura": Parser("partitura", True, _partitura),
    "symusic": Parser("symusic", False, _symusic),
}
"""The parsers, by name.

Some read files of events only: `mido, merged` interprets those of mido by `playing.play`.
"""
