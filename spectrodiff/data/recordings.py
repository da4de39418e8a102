"""Recordings of a corpus: audio with notes, planned first and read later.

A corpus is a function that scans a folder and returns a `Plan`: the recordings of each split, in
groups, without reading any audio. A `RecordingGroup` can be pickled, so that any process can read
its recordings with `read_group`.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spectrodiff.audio.files import audio_blocks
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError, CorpusError, SpectrodiffError
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes, merge_notes

# This module must not import audio.features, which would load JAX in every worker process.

# Names of the splits of prepared corpora; a corpus may lack some.
SPLITS = ("train", "validation", "test")

# Velocity of notes whose labels have none.
UNKNOWN_VELOCITY = 100

# Tolerated difference between the length of audio and the length stated by the corpus, since
# silence at the end may be trimmed. Confusing the rates 44.1 and 48 kHz would change it by 8 %.
_LENGTH_TOLERANCE_SECONDS, _LENGTH_TOLERANCE_SHARE = 5.0, 0.05
# Maximum number of recordings in a group, which are held in memory together.
_MAX_GROUP_SIZE = 10
# Peak of 16-bit recordings that contain only dither.
_SILENT_PEAK = 8 / 32768


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """Audio with its notes.

    Attributes:
        id: unique within the corpus.
        audio: int16 [samples], mono, 16 kHz.
        notes: notes within the length of the audio, which is `total_seconds`.
    """

    id: str
    audio: np.ndarray
    notes: Notes


@dataclasses.dataclass(frozen=True)
class StemReader:
    """Deferred reading of one stem of a mix, or of a complete recording.

    Attributes:
        audio: reads the audio at 16 kHz: float32 [samples], or int16 if it is never mixed.
        notes: reads the notes.
    """

    audio: Callable[[], np.ndarray]
    notes: Callable[[], Notes]


@dataclasses.dataclass(frozen=True)
class RecordingGroup:
    """Recordings mixed from common stems, each of which is read once; one unit of work.

    Attributes:
        id: unique within the corpus.
        stems: readers of the stems.
        mixes: id and stem indices of each recording.
    """

    id: str
    stems: tuple[StemReader, ...]
    mixes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def single(cls, id: str, stem: StemReader) -> "RecordingGroup":
        """Returns a group with one recording, which has one stem."""
        return cls(id, (stem,), ((id, (0,)),))

    def limited(self) -> list["RecordingGroup"]:
        """Splits the recordings into groups that are small enough to be held in memory."""
        return [
            dataclasses.replace(self, mixes=self.mixes[start : start + _MAX_GROUP_SIZE])
            for start in range(0, len(self.mixes), _MAX_GROUP_SIZE)
        ]


@dataclasses.dataclass(frozen=True)
class Skip:
    """Recording or group that was left out.

    Attributes:
        id: id of the recording or group.
        reason: reason without details, by which skips are counted.
        detail: complete error message.
    """

    id: str
    reason: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Contents of a corpus.

    Attributes:
        splits: groups of recordings of each split.
        skipped: recordings found to be unusable while planning.
        remarks: counts of other omissions and changes, such as stems left out.
    """

    splits: dict[str, list[RecordingGroup]]
    skipped: list[Skip] = dataclasses.field(default_factory=list)
    remarks: Counter[str] = dataclasses.field(default_factory=Counter)


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """Result of reading a group.

    Attributes:
        recordings: complete recordings.
        skipped: recordings that could not be used.
        remarks: counts of other omissions and changes, such as notes left out.
    """

    recordings: list[Recording]
    skipped: list[Skip]
    remarks: Counter[str]


class Unusable(Exception):
    """Unusable recording; the message is a reason without details (see `Skip`)."""


def read_group(group: RecordingGroup) -> Outcome:
    """Reads each stem of a group once and mixes its recordings.

    Unusable recordings are reported in the outcome, not raised.
    """
    read_audio_of = functools.cache(lambda index: group.stems[index].audio())
    read_notes_of = functools.cache(lambda index: group.stems[index].notes())
    outcome = Outcome([], [], Counter())
    for id, stems in group.mixes:
        try:
            notes = merge_notes([read_notes_of(index) for index in stems])
            audios = [read_audio_of(index) for index in stems]
            audio = audios[0] if len(audios) == 1 else mix_audio(audios)
            audio = audio if audio.dtype == np.int16 else to_int16(audio)
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
    """Reads an audio file of a corpus as mono at 16 kHz, float32 [samples].

    Args:
        path: audio file.
        expected_seconds: length stated by the corpus; None if unknown.

    Raises:
        Unusable: if the file is missing, silent, sampled below 16 kHz, or of a wrong length.
        AudioError: if the file cannot be read.
    """
    return np.concatenate(list(_checked_blocks(path, expected_seconds)))


def read_pcm(path: Path, expected_seconds: float | None = None) -> np.ndarray:
    """Reads an audio file that is not mixed with others as mono at 16 kHz, int16 [samples].

    Arguments and errors are those of `read_mono`, of which this takes half the memory or less.
    """
    blocks = _checked_blocks(path, expected_seconds)
    return np.concatenate([to_int16(block) for block in blocks])


def _checked_blocks(path: Path, expected_seconds: float | None) -> Iterator[np.ndarray]:
    if not path.is_file():
        raise Unusable("no audio file")
    samples, peak = 0, 0.0
    for block in audio_blocks(path, SAMPLE_RATE):
        samples, peak = samples + len(block), max(peak, float(np.abs(block).max(initial=0.0)))
        yield block
    if _source_rate(path) < SAMPLE_RATE:
        raise Unusable(f"audio sampled below {SAMPLE_RATE} Hz")
    if peak <= _SILENT_PEAK:
        raise Unusable("silent audio")
    if expected_seconds is not None:
        difference_seconds = abs(samples / SAMPLE_RATE - expected_seconds)
        tolerance_seconds = _LENGTH_TOLERANCE_SHARE * expected_seconds
        if difference_seconds > max(tolerance_seconds, _LENGTH_TOLERANCE_SECONDS):
            raise Unusable("audio longer or shorter than stated by the corpus")


def read_recorded_midi(path: Path) -> Notes:
    """Reads the MIDI file of a recording.

    Raises:
        Unusable: if the file is missing.
        MidiError: if the file cannot be read.
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


def mix_audio(stems: Sequence[np.ndarray]) -> np.ndarray:
    """Sums audio of different lengths, float32 [samples of the longest]."""
    mix = np.zeros(max(len(stem) for stem in stems), np.float32)
    for stem in stems:
        mix[: len(stem)] += stem
    return mix


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Converts samples in [-1, 1] to 16-bit integers; clips samples outside."""
    return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)


def fit_notes(notes: Notes, audio_seconds: float) -> tuple[Notes, Counter[str]]:
    """Restricts notes to the length of a recording and sorts them by onset.

    Args:
        notes: labels of the recording.
        audio_seconds: length of the recording.

    Returns:
        Notes with `total_seconds` equal to the length of the recording, and counts of the notes
        left out or shortened.

    Raises:
        Unusable: if no notes are left, or most start after the end of the audio, so that the labels
            probably belong to another recording.
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


def labeled_notes(rows: Iterable[tuple[float, float, int, int]]) -> Notes:
    """Converts rows of (onset seconds, offset seconds, pitch, program) to a note table.

    All notes get UNKNOWN_VELOCITY. An offset before its onset is moved to the onset.

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
    """Checks that a folder exists and has the given entries.

    Raises:
        CorpusError: names the first missing entry.
    """
    if not source.is_dir():
        raise CorpusError(source, expected, "no such folder")
    missing = [name for name in names if not (source / name).exists()]
    if missing:
        raise CorpusError(source, expected, f"no {missing[0]} in it")


def visible(paths: Iterable[Path]) -> list[Path]:
    """Returns the sorted paths without hidden files, which archives and file managers create."""
    return sorted(path for path in paths if not path.name.startswith("."))
