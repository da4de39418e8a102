"""Songs of an evaluation: recordings of a prepared corpus, cut to their first minutes."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.recordings import Recording
from spectrodiff.data.source import RecordingSource, load_source, prepared_configs
from spectrodiff.evaluation.checksums import recording_checksum
from spectrodiff.evaluation.metrics.minutes import MINUTE_SAMPLES
from spectrodiff.music.notes import Notes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EvaluationSong:
    """Notes to render, and the recording that the rendering is compared with.

    Attributes:
        id: id of the recording, unique in its corpus.
        audio: float32 [samples] at 16 kHz.
        notes: notes with onsets in the audio, cut at its end.
    """

    id: str
    audio: np.ndarray
    notes: Notes

    @property
    def checksum(self) -> str:
        """Checksum of the audio and the notes."""
        return recording_checksum(self.audio, self.notes)


@dataclass(frozen=True)
class EvaluationCorpus:
    """Split of a prepared corpus; songs are read from disk one at a time.

    Attributes:
        name: "corpus/config".
        split: name of the split.
        recordings: all recordings of the split.
        count: number of recordings to evaluate, the first ones.
        asked: number of recordings that were asked for.
        max_minutes: length to which songs are cut.
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
        return cut_recording(self.recordings[number], self.max_minutes)


def open_corpora(
    datasets: Sequence[str],
    data_dir: str | os.PathLike[str],
    split: str,
    *,
    songs: int | None,
    max_minutes: float,
) -> list[EvaluationCorpus]:
    """Opens prepared corpora for evaluation.

    Args:
        datasets: "corpus/config" or "corpus", or with a split "corpus/config:split".
        data_dir: folder of the prepared corpora.
        split: split of datasets that name none.
        songs: number of songs per corpus; None for all.
        max_minutes: length to which songs are cut.

    Raises:
        ConfigError: if there are no datasets.
        CorpusError: if a corpus is missing, lacks the split, has no songs, or is named twice.
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


def longest_song(corpora: Sequence[EvaluationCorpus]) -> EvaluationSong:
    """Returns the longest song of all corpora, the first one if there are several."""
    songs = (corpus[number] for corpus in corpora for number in range(len(corpus)))
    return max(songs, key=lambda song: len(song.audio))


def cut_recording(recording: Recording, max_minutes: float) -> EvaluationSong:
    """Returns the first minutes of a recording.

    Raises:
        CorpusError: if there are no notes in them.
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
