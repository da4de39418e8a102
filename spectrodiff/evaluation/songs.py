"""The songs of an evaluation: those of a split of a prepared corpus, cut to their first minutes."""

import dataclasses
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.recordings import Recording
from spectrodiff.data.source import RecordingSource, load_source, prepared_configs
from spectrodiff.evaluation import checksums
from spectrodiff.evaluation.scores import MINUTE_SAMPLES
from spectrodiff.music.notes import Notes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EvaluationSong:
    """What a rendering of a song is compared with.

    Attributes:
        id: of the recording, unique in its corpus.
        audio: float32 [samples] at 16 kHz.
        notes: those that begin in it, cut at its end.
    """

    id: str
    audio: np.ndarray
    notes: Notes

    @property
    def checksum(self) -> str:
        """Changes with the audio and the notes."""
        return checksums.of_recording(self.audio, self.notes)


@dataclass(frozen=True)
class EvaluationCorpus:
    """A split of a corpus, read from disk a song at a time.

    Attributes:
        name: "corpus/config".
        split: the split's name.
        recordings: all of the split.
        count: how many of them are evaluated.
        asked: how many were asked for.
        max_minutes: what is evaluated of a song.
    """

    name: str
    split: str
    recordings: RecordingSource
    count: int
    asked: int
    max_minutes: float

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> EvaluationSong:
        return cut(self.recordings[number], self.max_minutes)


def open_corpora(
    datasets: Sequence[str],
    data_dir: str | os.PathLike[str],
    split: str,
    *,
    songs: int | None,
    max_minutes: float,
) -> list[EvaluationCorpus]:
    """Opens corpora for evaluation.

    Args:
        datasets: as "corpus/config" or "corpus", or with another split as "corpus/config:split".
        data_dir: where they were prepared.
        split: of those that name none.
        songs: how many of each to evaluate; None for all.
        max_minutes: what to evaluate of a song.

    Raises:
        ConfigError: if none are named.
        CorpusError: if one is not there, has no such split or no songs in it, or is named twice.
    """
    if not datasets:
        raise ConfigError("datasets", "at least one prepared corpus", "none")
    corpora: list[EvaluationCorpus] = []
    for dataset in datasets:
        name, _, own_split = dataset.partition(":")
        recordings = load_source(data_dir, name, own_split or split)
        if "/" not in name:
            name = f"{name}/{prepared_configs(data_dir, name)[0]}"
        if name in [corpus.name for corpus in corpora]:
            raise CorpusError(name, "corpora that are named once", "the same again")
        asked = len(recordings) if songs is None else songs
        count = min(asked, len(recordings))
        if count < asked:
            logger.warning("%s: %d songs were asked for, there are %d", name, asked, count)
        corpora.append(
            EvaluationCorpus(name, own_split or split, recordings, count, asked, max_minutes)
        )
    return corpora


def longest(corpora: Sequence[EvaluationCorpus]) -> EvaluationSong:
    """The longest song of all, the first of its length."""
    songs = (corpus[number] for corpus in corpora for number in range(len(corpus)))
    return max(songs, key=lambda song: len(song.audio))


def cut(recording: Recording, max_minutes: float) -> EvaluationSong:
    """The beginning of a recording.

    Raises:
        CorpusError: if there are no notes in it.
    """
    audio = recording.audio[: round(max_minutes * MINUTE_SAMPLES)]
    seconds = len(audio) / SAMPLE_RATE
    notes = recording.notes.select(recording.notes.onset_seconds < seconds)
    if not len(notes):
        raise CorpusError(recording.id, f"notes in its first {seconds:.1f} s", "none")
    notes = dataclasses.replace(
        notes, offset_seconds=np.minimum(notes.offset_seconds, seconds), total_seconds=seconds
    )
    return EvaluationSong(recording.id, audio.astype(np.float32) / 32768, notes)


def folder_name(id: str) -> str:
    """A name for a recording's files: its own, unless that would not do."""
    name = re.sub(r"[^\w.-]+", "_", id).lstrip(".")
    return name if name == id else f"{name}-{checksums.of_json(id)}"
