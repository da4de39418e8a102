"""Note tables, and their conversion from and to note-seq."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from spectrodiff.core.errors import MidiError
from spectrodiff.core.extras import need_extra
from spectrodiff.music.programs import ProgramMap, map_program_numbers

# Far above any real song; tokenizing longer ones could take all memory.
MAX_SONG_SECONDS = 24 * 3600.0

NOTE_COLUMNS: dict[str, type[np.generic]] = {
    "onset_seconds": np.float64,
    "offset_seconds": np.float64,
    "pitch": np.int32,
    "velocity": np.int32,
    "program": np.int32,
    "is_drum": np.bool_,
}
"""Names and types of the columns of a note table."""

_RANGES = {
    "onset_seconds": (0, MAX_SONG_SECONDS),
    "offset_seconds": (0, MAX_SONG_SECONDS),
    "total_seconds": (0, MAX_SONG_SECONDS),
    "pitch": (0, 127),
    "velocity": (1, 127),
    "program": (0, 127),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Notes:
    """Table of notes, one per row, in any order.

    Attributes:
        onset_seconds: float64 [n], 0 or more.
        offset_seconds: float64 [n], not before the onset.
        pitch: int32 [n], MIDI pitch 0..127.
        velocity: int32 [n], 1..127.
        program: int32 [n], General MIDI program 0..127.
        is_drum: bool [n]; the pitch of a drum is its key, and its program is ignored.
        total_seconds: length of the song; at least the last offset.
        remarks: what is odd in the file that the notes were read from, and what a listener would
            miss; one phrase each.
        damage: place where that file broke, so that notes may be missing; "" if it is whole.

    Raises:
        MidiError: if a column has the wrong length or a value is out of range.
    """

    onset_seconds: np.ndarray
    offset_seconds: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    program: np.ndarray
    is_drum: np.ndarray
    total_seconds: float = 0.0
    remarks: tuple[str, ...] = ()
    damage: str = ""

    def __post_init__(self) -> None:
        for name, dtype in NOTE_COLUMNS.items():
            column = np.asarray(getattr(self, name))
            if column.shape != (len(self.onset_seconds),):
                raise _invalid(f"{len(self.onset_seconds)} values of {name}", str(column.shape))
            if name in _RANGES:
                _check_range(name, column)
            object.__setattr__(self, name, column.astype(dtype))
        if np.any(self.offset_seconds < self.onset_seconds):
            row = int(np.argmax(self.offset_seconds < self.onset_seconds))
            raise _invalid(
                f"offset_seconds not before onset_seconds {self.onset_seconds[row]:g}",
                f"{self.offset_seconds[row]:g}",
            )
        _check_range("total_seconds", np.asarray([self.total_seconds]))
        last_offset = float(self.offset_seconds.max(initial=0.0))
        object.__setattr__(self, "total_seconds", max(float(self.total_seconds), last_offset))

    def __len__(self) -> int:
        return len(self.onset_seconds)

    def select(self, rows: np.ndarray) -> "Notes":
        """Returns a table of some of the rows; `total_seconds` is kept.

        Args:
            rows: bool [n], True for rows to keep, or an array of row indices.
        """
        columns = {name: getattr(self, name)[rows] for name in NOTE_COLUMNS}
        return dataclasses.replace(self, **columns)

    @classmethod
    def empty(cls, total_seconds: float = 0.0) -> "Notes":
        """Returns a table without notes."""
        columns = {name: np.zeros(0) for name in NOTE_COLUMNS}
        return cls.from_columns(columns, total_seconds=total_seconds)

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, np.ndarray],
        *,
        total_seconds: float = 0.0,
        remarks: tuple[str, ...] = (),
        damage: str = "",
    ) -> "Notes":
        """Returns a table with the columns of a mapping.

        Args:
            columns: an array [n] for each name in `NOTE_COLUMNS`: onset_seconds, offset_seconds,
                pitch, velocity, program, is_drum.
            total_seconds: length of the song; at least the last offset.
            remarks: what is odd in the notes.
            damage: place where their file broke; "" if it is whole.

        Raises:
            MidiError: if a column has the wrong length or a value is out of range.
        """
        return cls(
            onset_seconds=columns["onset_seconds"],
            offset_seconds=columns["offset_seconds"],
            pitch=columns["pitch"],
            velocity=columns["velocity"],
            program=columns["program"],
            is_drum=columns["is_drum"],
            total_seconds=total_seconds,
            remarks=remarks,
            damage=damage,
        )

    @classmethod
    def from_note_sequence(cls, sequence: Any) -> "Notes":
        """Returns the notes of a `note_seq.NoteSequence`, those held by a pedal extended.

        Args:
            sequence: a `note_seq.NoteSequence` with times in seconds.

        Raises:
            MidiError: if a value is out of range, or times are only quantized.
        """
        if sequence.notes and not any(note.end_time for note in sequence.notes):
            raise MidiError("note sequence", "notes with times in seconds", "none")
        note_seq = _import_note_seq()
        unquantized = note_seq.NoteSequence()
        unquantized.CopyFrom(sequence)
        # note-seq extends no notes of quantized sequences; their times in seconds are still there.
        unquantized.ClearField("quantization_info")
        sequence = note_seq.apply_sustain_control_changes(unquantized)
        notes, has_bends = sequence.notes, any(bend.bend for bend in sequence.pitch_bends)
        return cls(
            onset_seconds=np.array([note.start_time for note in notes], np.float64),
            offset_seconds=np.array([note.end_time for note in notes], np.float64),
            pitch=np.array([note.pitch for note in notes], np.int64),
            velocity=np.array([note.velocity for note in notes], np.int64),
            program=np.array([note.program for note in notes], np.int64),
            is_drum=np.array([note.is_drum for note in notes], np.bool_),
            total_seconds=sequence.total_time,
            remarks=("pitch bends ignored",) if has_bends else (),
        )

    def to_note_sequence(self) -> Any:
        """Returns the notes as a `note_seq.NoteSequence` with one instrument per program."""
        sequence = _import_note_seq().NoteSequence(total_time=self.total_seconds)
        keys = list(zip(self.is_drum.tolist(), self.program.tolist(), strict=True))
        instruments = {key: number for number, key in enumerate(sorted(set(keys)))}
        for row, (is_drum, program) in enumerate(keys):
            sequence.notes.add(
                start_time=self.onset_seconds[row],
                end_time=self.offset_seconds[row],
                pitch=int(self.pitch[row]),
                velocity=int(self.velocity[row]),
                program=program,
                is_drum=is_drum,
                instrument=instruments[is_drum, program],
            )
        return sequence


def _import_note_seq() -> ModuleType:
    need_extra("note sequences", "note-seq")
    with warnings.catch_warnings():
        # note-seq imports an audio library that warns about missing programs.
        warnings.simplefilter("ignore")
        import note_seq
    return note_seq


def _check_range(name: str, column: np.ndarray) -> None:
    low, high = _RANGES[name]
    # Negated, so that NaN is out of range.
    outside = ~((column >= low) & (column <= high))
    if outside.any():
        raise _invalid(f"{name} in {low}..{high:g}", f"{column[outside][0]:g}")


def _invalid(expected: str, got: str) -> MidiError:
    return MidiError("note table", expected, got)


def map_programs(notes: Notes, program_map: ProgramMap) -> Notes:
    """Maps the programs of pitched notes (see `map_program_numbers`); drums are unchanged."""
    mapped = map_program_numbers(notes.program, program_map)
    return dataclasses.replace(notes, program=np.where(notes.is_drum, notes.program, mapped))


def merge_notes(tables: Sequence[Notes]) -> Notes:
    """Concatenates note tables; `total_seconds` is the largest, and each remark is kept once."""
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables]) for name in NOTE_COLUMNS
    }
    remarks = dict.fromkeys(remark for table in tables for remark in table.remarks)
    return Notes.from_columns(
        columns,
        total_seconds=max(table.total_seconds for table in tables),
        remarks=tuple(remarks),
        damage=next((table.damage for table in tables if table.damage), ""),
    )


def trim_overlaps(notes: Notes) -> Notes:
    """Ends each note at the next onset of the same pitch and program.

    Removes notes that have no duration, before or after that.
    """
    order = np.lexsort((notes.onset_seconds, notes.pitch, notes.program, notes.is_drum))
    earlier, later = order[:-1], order[1:]
    same_key = (
        (notes.pitch[earlier] == notes.pitch[later])
        & (notes.program[earlier] == notes.program[later])
        & (notes.is_drum[earlier] == notes.is_drum[later])
    )
    offset_seconds = notes.offset_seconds.copy()
    limit = np.where(same_key, notes.onset_seconds[later], np.inf)
    offset_seconds[earlier] = np.minimum(offset_seconds[earlier], limit)
    trimmed = dataclasses.replace(notes, offset_seconds=offset_seconds)
    return trimmed.select(trimmed.onset_seconds < trimmed.offset_seconds)
