"""Note tables, and their conversion from and to MIDI files."""

import dataclasses
import os
import struct
import warnings
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np

from spectrodiff.core.errors import MidiError
from spectrodiff.core.files import atomic_file
from spectrodiff.music.programs import ProgramMap, map_program_numbers

# Far above any real song; tokenizing longer ones could take all memory.
MAX_SONG_SECONDS = 24 * 3600.0
MAX_FILE_BYTES = 4 * 2**20

_MAX_TICKS = 1e7
_WRITTEN_TICKS_PER_SECOND = 1000
_WRITTEN_TEMPO = 120.0  # beats per minute

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
        """Returns the rows of a boolean mask or an index array; `total_seconds` is kept."""
        columns = {name: getattr(self, name)[rows] for name in NOTE_COLUMNS}
        return dataclasses.replace(self, **columns)


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


def trim_overlaps(notes: Notes) -> Notes:
    """Ends each note at the next onset of the same pitch and program.

    Removes notes that have no duration, before or after that. Applied to training data, not to
    songs to be rendered.
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


def read_midi(path: str | os.PathLike[str]) -> Notes:
    """Reads a MIDI file; notes held by the sustain pedal are extended.

    Raises:
        MidiError: if the file cannot be read or is not a valid MIDI file.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MidiError(path, "a readable MIDI file", error.strerror or str(error)) from error
    return parse_midi(data, os.fspath(path))


def parse_midi(data: bytes, name: str) -> Notes:
    """Parses the contents of a MIDI file; see `read_midi`.

    Args:
        data: contents of the file.
        name: name of the file in errors.

    Raises:
        MidiError: if `data` is not a valid MIDI file.
    """
    _check_header(data, name)
    note_seq = _import_note_seq()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sequence = note_seq.midi_to_note_sequence(data)
            sequence = note_seq.apply_sustain_control_changes(sequence)
    except Exception as error:  # note-seq and its parsers raise almost any exception.
        raise MidiError(name, "a MIDI file", _describe(error)) from error
    try:
        return Notes(
            onset_seconds=np.array([note.start_time for note in sequence.notes], np.float64),
            offset_seconds=np.array([note.end_time for note in sequence.notes], np.float64),
            pitch=np.array([note.pitch for note in sequence.notes], np.int64),
            velocity=np.array([note.velocity for note in sequence.notes], np.int64),
            program=np.array([note.program for note in sequence.notes], np.int64),
            is_drum=np.array([note.is_drum for note in sequence.notes], np.bool_),
            total_seconds=sequence.total_time,
        )
    except MidiError as error:
        raise MidiError(name, error.expected, error.got) from error


def _check_header(data: bytes, name: str) -> None:
    """Raises MidiError for defects that the parser does not report clearly, or not at all."""
    if len(data) > MAX_FILE_BYTES:
        raise MidiError(name, f"at most {MAX_FILE_BYTES >> 20} MiB of MIDI", "a longer file")
    if len(data) < 14 or data[:4] != b"MThd":
        got = f"one that starts with {data[:4]!r}" if len(data) >= 14 else f"only {len(data)} bytes"
        raise MidiError(name, "a MIDI file", got)
    _, num_tracks, ticks_per_beat = struct.unpack(">HHh", data[8:14])
    if num_tracks == 0:
        raise MidiError(name, "a MIDI file with tracks", "none")
    if ticks_per_beat <= 0:
        got = "none" if ticks_per_beat == 0 else "SMPTE time codes"
        raise MidiError(name, "a MIDI file with ticks per beat", got)


def _describe(error: Exception) -> str:
    """Describes an exception of a MIDI parser in one line."""
    cause = error.__context__ or error
    if isinstance(cause, EOFError):
        return "one that ends too early"
    return f"one that cannot be parsed ({type(cause).__name__}: {' '.join(str(cause).split())})"


def _import_note_seq() -> ModuleType:
    with warnings.catch_warnings():
        # note-seq imports an audio library that warns about missing programs.
        warnings.simplefilter("ignore")
        import note_seq
        import pretty_midi
    # note-seq removes this limit for the whole process; without it a file of sixty bytes can take
    # gigabytes of memory.
    pretty_midi.pretty_midi.MAX_TICK = _MAX_TICKS
    return note_seq


def write_midi(notes: Notes, path: str | os.PathLike[str]) -> None:
    """Writes a MIDI file with one track per instrument and times rounded to milliseconds.

    MIDI has fifteen channels for pitched instruments. With more programs, tracks share channels;
    readers that keep programs per track, such as `read_midi`, still distinguish them.

    Raises:
        MidiError: if the song is too long for the file's resolution.
        OutputError: if the file cannot be written.
    """
    import pretty_midi

    limit_seconds = _MAX_TICKS / _WRITTEN_TICKS_PER_SECOND - 1
    if notes.total_seconds > limit_seconds:
        got = f"{notes.total_seconds:.0f} s"
        raise MidiError(path, f"a song of at most {limit_seconds:.0f} s to write", got)
    ticks_per_beat = round(_WRITTEN_TICKS_PER_SECOND * 60 / _WRITTEN_TEMPO)
    midi = pretty_midi.PrettyMIDI(resolution=ticks_per_beat, initial_tempo=_WRITTEN_TEMPO)
    tracks: dict[tuple[bool, int], list[pretty_midi.Note]] = defaultdict(list)
    # The note-off of a note without ticks would precede its note-on, and the note would never end.
    offset_seconds = np.maximum(
        notes.offset_seconds, notes.onset_seconds + 1 / _WRITTEN_TICKS_PER_SECOND
    )
    for row in range(len(notes)):
        tracks[bool(notes.is_drum[row]), int(notes.program[row])].append(
            pretty_midi.Note(
                velocity=int(notes.velocity[row]),
                pitch=int(notes.pitch[row]),
                start=float(notes.onset_seconds[row]),
                end=float(offset_seconds[row]),
            )
        )
    for (is_drum, program), track_notes in sorted(tracks.items()):
        midi.instruments.append(pretty_midi.Instrument(program, is_drum=is_drum))
        midi.instruments[-1].notes = track_notes
    with atomic_file(Path(path)) as temporary:
        midi.write(str(temporary))
