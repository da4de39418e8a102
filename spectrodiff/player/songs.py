"""Songs on the page: the notes of a MIDI file, or a phrase that was played, by instrument."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from spectrodiff.core.errors import MidiError
from spectrodiff.music.general_midi import PROGRAM_NAMES
from spectrodiff.music.midi.reader import check_length, read_midi
from spectrodiff.music.notes import Notes

MAX_PHRASE_NOTES = 20_000
# Silence after the last note of a phrase, in which it rings.
PHRASE_END_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One instrument of a song.

    Attributes:
        program: General MIDI program; None for the drums.
        notes: number of its notes.
    """

    program: int | None
    notes: int

    @property
    def name(self) -> str:
        """Name for people."""
        return "drums" if self.program is None else PROGRAM_NAMES[self.program]


@dataclasses.dataclass(frozen=True, eq=False)
class PlayedSong:
    """A song with its notes in order of onset.

    Attributes:
        id: what the page calls it.
        title: name for people.
        notes: the notes.
        rows: instruments, in order of program, drums last.
        row_of_note: int64 [notes], index into `rows`.
    """

    id: str
    title: str
    notes: Notes
    rows: tuple[Row, ...]
    row_of_note: np.ndarray

    def described(self) -> dict[str, Any]:
        """Returns the song as the page takes it."""
        notes = self.notes
        return {
            "id": self.id,
            "title": self.title,
            "seconds": notes.total_seconds,
            "remarks": list(notes.remarks),
            "rows": [
                {
                    "program": row.program,
                    "drums": row.program is None,
                    "name": row.name,
                    "notes": row.notes,
                }
                for row in self.rows
            ],
            "notes": {
                "row": self.row_of_note.tolist(),
                "pitch": notes.pitch.tolist(),
                "onset": notes.onset_seconds.round(4).tolist(),
                "offset": notes.offset_seconds.round(4).tolist(),
                "velocity": notes.velocity.tolist(),
            },
        }


def read_song(id: str, title: str, data: bytes, max_minutes: float) -> PlayedSong:
    """Reads a MIDI file.

    Raises:
        MidiError: if it cannot be read, has no notes or is longer than `max_minutes`.
    """
    try:
        notes = read_midi(data)
    except MidiError as error:
        raise MidiError(title, error.expected, error.got) from error
    return checked_song(id, title, notes, max_minutes)


def checked_song(id: str, title: str, notes: Notes, max_minutes: float) -> PlayedSong:
    """Returns a song with a row per instrument.

    Raises:
        MidiError: if it has no notes or is longer than `max_minutes`.
    """
    if not len(notes):
        raise MidiError(title, "a song with notes", "none")
    check_length(title, notes, max_minutes)
    return make_song(id, title, notes)


def read_phrase(
    id: str, played: Sequence[Sequence[float]], program: int, max_minutes: float
) -> PlayedSong:
    """Makes a song of what was played on a keyboard.

    Args:
        id: what the page calls it.
        played: onset and offset in seconds, pitch and velocity of each note.
        program: General MIDI program of all notes.
        max_minutes: length of the longest phrase.

    Raises:
        MidiError: if there are no notes, one is impossible, or the phrase is too long.
    """
    if not 1 <= len(played) <= MAX_PHRASE_NOTES:
        raise MidiError("phrase", f"1 to {MAX_PHRASE_NOTES:,} notes", f"{len(played):,}")
    if any(len(note) != 4 for note in played):
        raise MidiError("phrase", "onset, offset, pitch and velocity of each note", "others")
    onset, offset, pitch, velocity = np.array(played, np.float64).T
    if (pitch % 1).any() or (velocity % 1).any():
        raise MidiError("phrase", "whole pitches and velocities", "others")
    notes = Notes(
        onset_seconds=onset,
        offset_seconds=offset,
        pitch=pitch,
        velocity=velocity,
        program=np.full(len(onset), program),
        is_drum=np.zeros(len(onset), bool),
        total_seconds=float(offset.max()) + PHRASE_END_SECONDS,
    )
    check_length("phrase", notes, max_minutes)
    return make_song(id, "Your phrase", notes)


def make_song(id: str, title: str, notes: Notes) -> PlayedSong:
    """Returns a song with a row per instrument."""
    order = np.argsort(notes.onset_seconds, kind="stable")
    notes = notes.select(order)
    instrument = np.where(notes.is_drum, 128, notes.program)
    instruments, row_of_note, counts = np.unique(
        instrument, return_inverse=True, return_counts=True
    )
    rows = tuple(
        Row(None if program == 128 else program, count)
        for program, count in zip(instruments.tolist(), counts.tolist(), strict=True)
    )
    return PlayedSong(id, title, notes, rows, row_of_note)
