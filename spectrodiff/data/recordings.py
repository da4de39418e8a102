"""Recordings of a corpus: sound with its notes, described first and read later, piece by piece.

A corpus is a function that looks at a folder and returns a `Plan`: which tracks belong to which
split, without reading any audio. A `Track` can be pickled, so that any process can turn it into
finished recordings with `read_track`.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from spectrodiff.audio.files import read_audio
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError, CorpusError, SpectrodiffError
from spectrodiff.music.notes import Notes, read_midi

# Not imported from the features, which would load JAX into every worker process.

# What labels without loudness get.
UNKNOWN_VELOCITY = 100

# By how much audio may be longer or shorter than its corpus says: tails of silence are cut in
# different ways. Between the usual rates of 44.1 and 48 kHz lies 8 %.
_LENGTH_TOLERANCE_SECONDS, _LENGTH_TOLERANCE_SHARE = 5.0, 0.05
_MAX_MIXES_AT_ONCE = 10
# A 16-bit recording whose samples never leave this range holds dither, not music.
_SILENT_PEAK = 8 / 32768


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """A finished recording.

    Attributes:
        id: unique within its corpus.
        audio: int16 [samples], mono, 16 kHz.
        notes: what is played; all notes lie within the audio, and `total_seconds` is its length.
    """

    id: str
    audio: np.ndarray
    notes: Notes


@dataclasses.dataclass(frozen=True)
class Part:
    """Something that sounds: one file of a track, or one stem of a mix.

    Attributes:
        audio: reads the sound, float32 [samples] at 16 kHz.
        notes: reads what it plays.
    """

    audio: Callable[[], np.ndarray]
    notes: Callable[[], Notes]


@dataclasses.dataclass(frozen=True)
class Track:
    """A unit of work: parts that are read once, and the recordings that are mixed from them.

    Attributes:
        id: unique within the corpus.
        parts: what can be mixed.
        mixes: for each recording its id and the indices of the parts it holds.
    """

    id: str
    parts: tuple[Part, ...]
    mixes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of_one(cls, id: str, part: Part) -> "Track":
        """A track that is one recording of one part."""
        return cls(id, (part,), ((id, (0,)),))

    def pieces(self) -> list["Track"]:
        """The same mixes in portions small enough to be held in memory."""
        return [
            dataclasses.replace(self, mixes=self.mixes[start : start + _MAX_MIXES_AT_ONCE])
            for start in range(0, len(self.mixes), _MAX_MIXES_AT_ONCE)
        ]


@dataclasses.dataclass(frozen=True)
class Skip:
    """Something that was left out.

    Attributes:
        id: the recording or track.
        reason: why, in words that are the same for all with that problem.
        detail: the whole message.
    """

    id: str
    reason: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a corpus consists of.

    Attributes:
        splits: the tracks of each split.
        skipped: what was found unusable while planning.
        remarks: counts of smaller things that were left out or changed.
    """

    splits: dict[str, list[Track]]
    skipped: list[Skip] = dataclasses.field(default_factory=list)
    remarks: Counter[str] = dataclasses.field(default_factory=Counter)


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a track: recordings, and counted reports of what could not be used."""

    recordings: list[Recording]
    skipped: list[Skip]
    remarks: Counter[str]


class Unusable(Exception):
    """A recording cannot be used, for the reason given in words that do not depend on it."""


def read_track(track: Track) -> Outcome:
    """Reads the parts of a track, each once, and mixes its recordings.

    Recordings that cannot be used are reported, never raised.
    """
    read_audio_of = functools.cache(lambda index: track.parts[index].audio())
    read_notes_of = functools.cache(lambda index: track.parts[index].notes())
    outcome = Outcome([], [], Counter())
    for id, parts in track.mixes:
        try:
            notes = merge_notes([read_notes_of(index) for index in parts])
            audio = to_int16(mix_audio([read_audio_of(index) for index in parts]))
            notes, remarks = fit_notes(notes, len(audio) / SAMPLE_RATE)
        except Unusable as problem:
            outcome.skipped.append(Skip(id, str(problem)))
        except SpectrodiffError as error:
            outcome.skipped.append(Skip(id, f"expected {error.expected}", str(error)))
        else:
            outcome.recordings.append(Recording(id, audio, notes))
            outcome.remarks.update(remarks)
    return outcome


def read_mono(path: Path, expected_seconds: float | None = None) -> np.ndarray:
    """Reads a corpus's audio file, mono at 16 kHz, float32 [samples].

    Args:
        path: any audio file.
        expected_seconds: about its length, where the corpus tells.

    Raises:
        Unusable: if there is no such file, or its rate, length or content cannot be right.
        AudioError: if it cannot be read.
    """
    if not path.is_file():
        raise Unusable("no audio file")
    audio = read_audio(path, SAMPLE_RATE)
    if _source_rate(path) < SAMPLE_RATE:
        raise Unusable(f"audio sampled below {SAMPLE_RATE} Hz")
    if np.abs(audio).max() <= _SILENT_PEAK:
        raise Unusable("silent audio")
    if expected_seconds is not None:
        difference_seconds = abs(len(audio) / SAMPLE_RATE - expected_seconds)
        tolerance_seconds = _LENGTH_TOLERANCE_SHARE * expected_seconds
        if difference_seconds > max(tolerance_seconds, _LENGTH_TOLERANCE_SECONDS):
            raise Unusable("audio longer or shorter than the corpus says")
    return audio


def read_recorded_midi(path: Path) -> Notes:
    """The notes of a MIDI file that belongs to a recording.

    Raises:
        Unusable: if there is no such file.
        MidiError: if it cannot be read.
    """
    if not path.is_file():
        raise Unusable("no MIDI file")
    return read_midi(path)


def _source_rate(path: Path) -> int:
    import soundfile

    try:
        return soundfile.info(path).samplerate
    except soundfile.SoundFileError as error:
        raise AudioError(path, "a readable audio file", str(error)) from error


def mix_audio(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of sounds of any lengths, float32 [samples of the longest]."""
    mix = np.zeros(max(len(part) for part in parts), np.float32)
    for part in parts:
        mix[: len(part)] += part
    return mix


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as 16-bit integers; what is louder is clipped."""
    return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)


def merge_notes(tables: Sequence[Notes]) -> Notes:
    """The notes of all tables together, as long as the longest."""
    columns = [field.name for field in dataclasses.fields(Notes) if field.name != "total_seconds"]
    merged = {name: np.concatenate([getattr(table, name) for table in tables]) for name in columns}
    return Notes(**merged, total_seconds=max(table.total_seconds for table in tables))


def fit_notes(notes: Notes, audio_seconds: float) -> tuple[Notes, Counter[str]]:
    """Keeps the notes that are heard in a recording, and counts the others.

    Args:
        notes: labels.
        audio_seconds: length of the recording.

    Returns:
        The notes, in order of their onsets, with `total_seconds` the length of the recording; and
        how many were left out or cut.

    Raises:
        Unusable: if no notes are left, or most lie behind the end, so that the labels must be those
            of another recording.
    """
    lasting = notes.offset_seconds > notes.onset_seconds
    before_end = notes.onset_seconds < audio_seconds
    cut = notes.offset_seconds > audio_seconds
    if np.count_nonzero(~before_end) > len(notes) / 2:
        raise Unusable("most labels past the end of the audio")
    remarks = Counter(
        {
            "notes without duration left out": int(np.count_nonzero(~lasting)),
            "notes past the end of the audio left out": int(
                np.count_nonzero(lasting & ~before_end)
            ),
            "notes cut at the end of the audio": int(np.count_nonzero(lasting & before_end & cut)),
        }
    )
    kept = np.flatnonzero(lasting & before_end)
    if not len(kept):
        raise Unusable("no notes")
    kept = kept[np.argsort(notes.onset_seconds[kept], kind="stable")]
    fitted = dataclasses.replace(
        notes.select(kept),
        offset_seconds=np.minimum(notes.offset_seconds[kept], audio_seconds),
        total_seconds=audio_seconds,
    )
    return fitted, +remarks


def labelled_notes(rows: Iterable[tuple[float, float, int, int]]) -> Notes:
    """A note table from rows (onset seconds, offset seconds, pitch, program) without loudness.

    A row that ends before it begins becomes a note without duration.

    Raises:
        MidiError: if a value is out of range.
    """
    onset, offset, pitch, program = np.array(list(rows), np.float64).reshape(-1, 4).T
    return Notes(
        onset_seconds=onset,
        offset_seconds=np.maximum(onset, offset),
        pitch=pitch,
        velocity=np.full(len(onset), UNKNOWN_VELOCITY),
        program=program,
        is_drum=np.zeros(len(onset), bool),
    )


def require_folder(source: Path, expected: str, names: Sequence[str]) -> None:
    """Refuses a folder that lacks one of some entries.

    Raises:
        CorpusError: naming what is missing.
    """
    if not source.is_dir():
        raise CorpusError(source, expected, "no such folder")
    missing = [name for name in names if not (source / name).exists()]
    if missing:
        raise CorpusError(source, expected, f"no {missing[0]} in it")


def visible(paths: Iterable[Path]) -> list[Path]:
    """Paths in order, without the hidden files that archives and file managers leave behind."""
    return sorted(path for path in paths if not path.name.startswith("."))
