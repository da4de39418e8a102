"""Songs of an evaluation: recordings of prepared corpora."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.source import RecordingSource, load_source, prepared_configs
from spectrodiff.evaluation.protocol import ALIGNED, EvaluationSong, Protocol

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationCorpus:
    """Split of a prepared corpus; songs are read from disk one at a time.

    Attributes:
        name: "corpus/config".
        split: name of the split.
        recordings: all recordings of the split.
        count: number of recordings to evaluate, the first ones.
        asked: number of recordings that were asked for.
        protocol: choice of the audio and notes that are compared.
    """

    name: str
    split: str
    recordings: RecordingSource
    count: int
    asked: int
    protocol: Protocol = ALIGNED

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> EvaluationSong:
        return self.protocol.song(self.recordings[number])


def open_corpora(
    datasets: Sequence[str],
    data_dir: str | os.PathLike[str],
    split: str,
    *,
    songs: int | None,
) -> list[EvaluationCorpus]:
    """Opens prepared corpora for evaluation.

    Args:
        datasets: "corpus/config" or "corpus", or with a split "corpus/config:split".
        data_dir: folder of the prepared corpora.
        split: split of datasets that name none.
        songs: number of songs per corpus; None for all.

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
        corpora.append(EvaluationCorpus(name, own_split or split, recordings, count, asked))
    return corpora


def longest_song(corpora: Sequence[EvaluationCorpus]) -> EvaluationSong:
    """Returns the longest song of all corpora, the first one if there are several."""
    songs = (corpus[number] for corpus in corpora for number in range(len(corpus)))
    return max(songs, key=lambda song: len(song.audio))
