"""Interface of metrics, which score a rendered song.

A new metric is a class with the members of `Metric`, opened in `open_metrics.py`; its columns are
in `evaluation/columns.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from spectrodiff.evaluation import protocol
from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.metrics.uncertainty import Interval, bootstrap_mean
from spectrodiff.evaluation.protocol import EvaluationSong, Excerpt
from spectrodiff.evaluation.results import CorpusScore
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.store import SongFiles


class Comparison(NamedTuple):
    """Audio of a row and the song that it is compared with."""

    files: SongFiles
    row: Row
    audio: np.ndarray  # rendered, float32 [samples] at 16 kHz, as the protocol compares it
    song: EvaluationSong  # with the recording and its notes
    protocol: protocol.Protocol

    def with_excerpts(
        self,
        whole: Mapping[str, float | None],
        score: Callable[[Excerpt], Mapping[str, float | None]],
    ) -> dict[str, Score]:
        """Returns the scores of the song, with those of the excerpts that stand for its minutes.

        Args:
            whole: scores of the whole song by column.
            score: returns the scores of an excerpt by column.
        """
        scores = [score(excerpt) for excerpt in self.protocol.excerpts(self.audio, self.song)]
        return {
            name: Score(value, [each[name] for each in scores]) for name, value in whole.items()
        }


class ScoredSong(NamedTuple):
    """Files of a song, and its scores by one metric for one row, by column."""

    files: SongFiles
    scores: Mapping[str, Score]


class Metric(Protocol):
    """Function from a rendered song to scores, which fill one or more columns."""

    @property
    def id(self) -> str:
        """Name and checksum of its weights; part of file names."""
        ...

    @property
    def columns(self) -> Sequence[Column]:
        """Columns of the tables that it fills."""
        ...

    def __call__(self, comparison: Comparison) -> dict[str, Score]:
        """Scores a song; returns scores by column, of the columns that a single song has."""
        ...

    def score_corpus(
        self, row: Row, songs: Sequence[ScoredSong], replicates: int
    ) -> dict[str, CorpusScore]:
        """Sums up the scores of the songs of a corpus, one or more.

        Args:
            row: row of the tables.
            songs: songs that were scored for this row.
            replicates: number of bootstrap replicates; 0 for no confidence intervals.

        Returns:
            Scores by column, of all columns.
        """
        ...


class MeanOverSongs:
    """Base of metrics whose score of a corpus is the mean over songs."""

    columns: Sequence[Column]

    def score_corpus(
        self, row: Row, songs: Sequence[ScoredSong], replicates: int
    ) -> dict[str, CorpusScore]:
        """Computes means over songs."""
        return {column.name: mean_over_songs(column, songs, replicates) for column in self.columns}


def mean_over_songs(
    column: Column, songs: Sequence[ScoredSong], replicates: int, frames: int | None = None
) -> CorpusScore:
    """Computes the mean of a column over songs, with a 95 % bootstrap confidence interval.

    Args:
        column: of the table.
        songs: scored songs; those without a score of this column are left out.
        replicates: of the bootstrap; 0 for no interval.
        frames: number of frames that the score is of, where that matters.
    """
    values = [song.scores[column.name].whole for song in songs]
    known = [value for value in values if value is not None]
    interval = bootstrap_mean(known, replicates=replicates) if replicates else None
    return corpus_score(float(np.mean(known)) if known else None, interval, None, frames)


def corpus_score(
    value: float | None,
    interval: Interval | None,
    extrapolated: float | None,
    frames: int | None,
) -> CorpusScore:
    """Returns the score of a corpus with the ends of its interval."""
    low, high = (interval.low, interval.high) if interval else (None, None)
    return CorpusScore(value, low, high, extrapolated, frames)
