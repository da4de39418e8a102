"""Recordings of a corpus: audio with notes, planned first and read later.

A corpus is a function that scans a folder and returns a `Plan`: the recordings of each split, in
groups, without reading any audio. A `RecordingGroup` can be pickled, so that any process can read
its recordings with `read_group`.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from spectrodiff.audio.files import audio_blocks, source_rate
from spectrodiff.audio.samples import (
    SILENT_PEAK,
    full_scale_gain,
    mix_audio,
    peak_of,
    to_full_scale,
    to_int16,
)
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError, ConfigError, CorpusError, MidiError
from spectrodiff.data.alignment import describe_misfit
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes, merge_notes, trim_overlaps

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
# Texts of remarks.
_ODD_MIDI = "MIDI with oddities"
_TOO_LOUD = "louder than full scale, scaled down"
_SILENT_STEMS = "silent stems left out"
_TRIMMED = "notes cut at the next onset of their pitch"


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
        audio: reads the audio at 16 kHz: float32 [samples], or int16 if it is never mixed. Raises
            `Silent` if there is no sound in it.
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
        needs_all: whether a recording is left out if one of its stems is silent.
        trims_overlaps: whether notes end at the next onset of the same pitch and program.
        checks_onsets: whether onsets of audio that do not fit the notes are remarked on.
    """

    id: str
    stems: tuple[StemReader, ...]
    mixes: tuple[tuple[str, tuple[int, ...]], ...]
    needs_all: bool = False
    trims_overlaps: bool = False
    checks_onsets: bool = False

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
class Remark:
    """Omission in a recording that is used, or change of it.

    Attributes:
        id: id of the recording.
        text: what was done, by which remarks are counted.
        number: number of notes or other things that it was done to.
        detail: details of this recording.
    """

    id: str
    text: str
    number: int = 1
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
        remarks: other omissions and changes, such as notes left out.
    """

    recordings: list[Recording] = dataclasses.field(default_factory=list)
    skipped: list[Skip] = dataclasses.field(default_factory=list)
    remarks: list[Remark] = dataclasses.field(default_factory=list)


class Unusable(Exception):
    """Unusable recording.

    Args:
        reason: reason without details (see `Skip`).
        detail: details of this recording.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Silent(Unusable):
    """Recording or stem without sound."""


def read_group(group: RecordingGroup) -> Outcome:
    """Reads each stem of a group once and mixes its recordings.

    Unusable recordings are reported in the outcome, not raised. A silent stem is left out of the
    mixes that hold it, with its notes, unless the group says otherwise. A recording louder than
    full scale is scaled down to it.
    """
    stems = [_Stem(reader) for reader in group.stems]
    outcome = Outcome()
    made: dict[tuple[int, ...], str] = {}
    for id, numbers in group.mixes:
        try:
            heard = tuple(number for number in numbers if stems[number].is_heard)
            if not heard or (group.needs_all and heard != numbers):
                raise Silent("silent audio")
            if heard in made:
                raise Unusable("the same as another one without its silent stems", made[heard])
            notes, num_trimmed = merge_notes([stems[number].notes for number in heard]), 0
            if group.trims_overlaps:
                notes, num_trimmed = _without_overlaps(notes)
            audio, decibels = to_full_scale(mix_audio([stems[number].audio for number in heard]))
            notes, left_out = fit_notes(notes, len(audio) / SAMPLE_RATE)
        except Unusable as problem:
            outcome.skipped.append(Skip(id, problem.reason, problem.detail))
            continue
        except (AudioError, ConfigError, CorpusError, MidiError) as error:  # not of a full disk
            outcome.skipped.append(Skip(id, f"expected {error.expected}", str(error)))
            continue
        made[heard] = id
        outcome.recordings.append(Recording(id, audio, notes))
        outcome.remarks.extend(Remark(id, text, number) for text, number in left_out.items())
        if num_trimmed:
            outcome.remarks.append(Remark(id, _TRIMMED, num_trimmed))
        if notes.remarks:
            outcome.remarks.append(Remark(id, _ODD_MIDI, detail="; ".join(notes.remarks)))
        if heard != numbers:
            outcome.remarks.append(Remark(id, _SILENT_STEMS, len(numbers) - len(heard)))
        if decibels:
            outcome.remarks.append(Remark(id, _TOO_LOUD, detail=f"by {decibels:.1f} dB"))
        if group.checks_onsets and (misfit := describe_misfit(audio, notes)):
            outcome.remarks.append(Remark(id, misfit.text, detail=misfit.detail))
    return outcome


def _without_overlaps(notes: Notes) -> tuple[Notes, int]:
    """Ends notes at the next onset of their pitch; returns the number of notes that change, too."""
    trimmed = trim_overlaps(notes)
    before, after = (
        Counter(
            zip(table.onset_seconds, table.offset_seconds, table.pitch, table.program, strict=True)
        )
        for table in (notes, trimmed)
    )
    return trimmed, (before - after).total()


class _Stem:
    """Stem that is read when it is needed, once."""

    def __init__(self, reader: StemReader) -> None:
        self._reader = reader

    @functools.cached_property
    def notes(self) -> Notes:
        return self._reader.notes()

    @functools.cached_property
    def audio(self) -> np.ndarray:
        return self._reader.audio()

    @functools.cached_property
    def is_heard(self) -> bool:
        try:
            return self.audio is not None
        except Silent:
            return False


def read_mono(path: Path, expected_seconds: float | None = None) -> np.ndarray:
    """Reads an audio file of a corpus as mono at 16 kHz, float32 [samples].

    Args:
        path: audio file.
        expected_seconds: length stated by the corpus; None if unknown.

    Raises:
        Unusable: if the file is missing, silent, sampled below 16 kHz, or of a wrong length.
        AudioError: if the file cannot be read.
    """
    return np.concatenate([block for block, _ in _checked_blocks(path, expected_seconds)])


def read_pcm(path: Path, expected_seconds: float | None = None) -> np.ndarray:
    """Reads an audio file that is not mixed with others as mono at 16 kHz.

    Returns:
        int16 [samples], which takes half the memory or less; float32 [samples] if the audio is
        louder than full scale, as `read_mono` returns it.

    Arguments and errors are those of `read_mono`.
    """
    peak, blocks = 0.0, []
    for block, block_peak in _checked_blocks(path, expected_seconds):
        peak = max(peak, block_peak)
        blocks.append(to_int16(block))
    if full_scale_gain(peak) == 1:
        return np.concatenate(blocks)
    # Reads again, since keeping all in floating point would cost every other file memory.
    audio = np.empty(sum(map(len, blocks)), np.float32)
    del blocks
    filled = 0
    for block in audio_blocks(path, SAMPLE_RATE):
        audio[filled : filled + len(block)] = block
        filled += len(block)
    return audio


def _checked_blocks(
    path: Path, expected_seconds: float | None
) -> Iterator[tuple[np.ndarray, float]]:
    """Yields blocks of audio and their peaks."""
    if not path.is_file():
        raise Unusable("no audio file")
    samples, peak = 0, 0.0
    for block in audio_blocks(path, SAMPLE_RATE):
        block_peak = peak_of(block)
        samples, peak = samples + len(block), max(peak, block_peak)
        yield block, block_peak
    if source_rate(path) < SAMPLE_RATE:
        raise Unusable(f"audio sampled below {SAMPLE_RATE} Hz")
    if peak <= SILENT_PEAK:
        raise Silent("silent audio")
    if expected_seconds is not None:
        difference_seconds = abs(samples / SAMPLE_RATE - expected_seconds)
        tolerance_seconds = _LENGTH_TOLERANCE_SHARE * expected_seconds
        if difference_seconds > max(tolerance_seconds, _LENGTH_TOLERANCE_SECONDS):
            raise Unusable("audio longer or shorter than stated by the corpus")


def read_recorded_midi(path: Path) -> Notes:
    """Reads the MIDI file of a recording.

    Raises:
        Unusable: if the file is missing, or damaged, so that notes may be missing.
        MidiError: if the file cannot be read.
    """
    if not path.is_file():
        raise Unusable("no MIDI file")
    notes = read_midi(path)
    if notes.damage:
        raise Unusable("damaged MIDI file", notes.damage)
    return notes


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
    counted = {
        "notes without duration left out": ~lasting,
        "notes past the end of the audio left out": lasting & ~before_end,
        "notes cut at the end of the audio": lasting & before_end & cut,
    }
    remarks = Counter({text: int(np.count_nonzero(rows)) for text, rows in counted.items()})
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
