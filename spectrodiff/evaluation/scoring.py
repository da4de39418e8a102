"""Metrics, which score a rendered song, and scoring of all songs.

A new metric is a class with the members of `Metric`, opened in `open_metrics.py`; its columns are
in `columns.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.columns import (
    F1,
    LOG_MEL_L1,
    ONSET_F1,
    ONSET_OFFSET_F1,
    SPECTRAL_DISTANCE,
    Column,
    embedding_columns,
    slug,
)
from spectrodiff.evaluation.metrics.distances import frame_distances
from spectrodiff.evaluation.metrics.embeddings.embedding import Embedding, embed
from spectrodiff.evaluation.metrics.inputs import check_pair
from spectrodiff.evaluation.metrics.minutes import (
    MINUTE_SAMPLES,
    Score,
    count_minutes,
    mean_of_frames,
    notes_by_minute,
)
from spectrodiff.evaluation.metrics.signal_distances import log_mel_l1, spectral_distance
from spectrodiff.evaluation.metrics.transcription.scores import (
    Agreement,
    score_onsets,
    score_transcription,
)
from spectrodiff.evaluation.metrics.transcription.transcriber import Transcriber
from spectrodiff.evaluation.metrics.uncertainty import Interval, bootstrap_mean, score_frechet
from spectrodiff.evaluation.results import CorpusScore
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.songs import EvaluationCorpus, EvaluationSong
from spectrodiff.evaluation.store import SongFiles, files_of, read_array, write_array
from spectrodiff.music.notes import Notes


class Comparison(NamedTuple):
    """Audio of a row and the song that it is compared with."""

    files: SongFiles
    row: Row
    audio: np.ndarray  # rendered, float32 [samples] at 16 kHz; may differ in length from the song
    song: EvaluationSong  # with the recording and its notes


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


class SignalMetric(MeanOverSongs):
    """Distances of audio that need no weights: log-mel L1 and spectral distance."""

    id = "signal"
    columns = (LOG_MEL_L1, SPECTRAL_DISTANCE)

    def __call__(self, comparison: Comparison) -> dict[str, Score]:
        """Computes both distances to the recording."""
        audio, target = comparison.audio, comparison.song.audio
        return {
            LOG_MEL_L1.name: log_mel_l1(audio, target),
            SPECTRAL_DISTANCE.name: spectral_distance(audio, target),
        }


class EmbeddingMetric:
    """Distances of embeddings: reconstruction distance and Frechet distance.

    Embeddings are stored, since the Frechet distance needs those of all songs.

    Args:
        embedding: the embedding.
        checksum: checksum of its weights; None if it has none.
    """

    def __init__(self, embedding: Embedding, checksum: str | None = None) -> None:
        self._embedding = embedding
        self.id = slug(embedding.name) + (f"-{checksum}" if checksum else "")
        self.columns = embedding_columns(embedding.name)

    def __call__(self, comparison: Comparison) -> dict[str, Score]:
        """Computes the reconstruction distance of the song and of its minutes."""
        prediction = self._embed(comparison, comparison.row, comparison.audio)
        target = self._embed(comparison, None, comparison.song.audio)
        distances = frame_distances(prediction, target)
        # Frames are evenly spaced, so each minute has its share of them.
        minutes = max(len(comparison.song.audio) / MINUTE_SAMPLES, 1.0)
        return {self.columns[0].name: mean_of_frames(distances, len(distances) / minutes)}

    def score_corpus(
        self, row: Row, songs: Sequence[ScoredSong], replicates: int
    ) -> dict[str, CorpusScore]:
        """Computes the mean reconstruction distance, and the Frechet distance of all frames."""
        predictions = [read_array(song.files.embedding(row, self.id)) for song in songs]
        targets = [read_array(song.files.embedding(None, self.id)) for song in songs]
        frechet = score_frechet(predictions, targets, replicates=replicates)
        frames = sum(map(len, predictions))
        return {
            self.columns[0].name: mean_over_songs(self.columns[0], songs, replicates, frames),
            self.columns[1].name: _corpus_score(
                frechet.distance, frechet.interval, frechet.extrapolated, frames
            ),
        }

    def _embed(self, comparison: Comparison, row: Row | None, audio: np.ndarray) -> np.ndarray:
        path = comparison.files.embedding(row, self.id)
        if not path.is_file():
            name = f"{comparison.song.id}: {row.name if row else 'recording'}"
            write_array(path, embed(self._embedding, audio, name))
        return read_array(path)


class TranscriptionMetric(MeanOverSongs):
    """F1 of the notes that a transcriber finds in the audio.

    A transcriber that does not recognize programs is scored without instruments and drums.

    Args:
        transcriber: the transcriber.
        checksum: checksum of its weights.
    """

    def __init__(self, transcriber: Transcriber, checksum: str) -> None:
        self._transcriber = transcriber
        self.id = f"{slug(transcriber.name)}-{checksum}"
        with_programs = (*F1.values(),) if transcriber.tells_programs else ()
        self.columns = (*with_programs, ONSET_F1, ONSET_OFFSET_F1)

    def __call__(self, comparison: Comparison) -> dict[str, Score]:
        """Computes the F1 of the song, and of the notes with onsets in each of its minutes."""
        notes, found = comparison.song.notes, self._transcriber(comparison.audio)
        count = count_minutes(len(comparison.song.audio))
        minutes = [
            self._agreements(reference, estimate)
            for reference, estimate in zip(
                notes_by_minute(notes, count), notes_by_minute(found, count), strict=True
            )
        ]
        return {
            column: Score(agreement.f1, [_f1(minute[column]) for minute in minutes])
            for column, agreement in self._agreements(notes, found).items()
        }

    def _agreements(self, reference: Notes, estimate: Notes) -> dict[str, Agreement]:
        scores = score_transcription(reference, estimate)
        with_programs = {F1[name].name: score.all for name, score in scores.items()}
        return (with_programs if self._transcriber.tells_programs else {}) | {
            ONSET_F1.name: score_onsets(reference, estimate),
            ONSET_OFFSET_F1.name: scores["flat"].nondrums,
        }


def score_songs(
    metrics: Sequence[Metric],
    root: Path,
    rows: Sequence[Row],
    corpus: EvaluationCorpus,
    share: Sequence[int],
    *,
    progress: bool,
) -> None:
    """Scores all rows of some songs and stores the scores that are not stored yet.

    Args:
        metrics: the metrics.
        root: folder of the evaluation.
        rows: rows of the tables, whose audio is stored.
        corpus: corpus of the songs.
        share: numbers of the songs in the corpus.
        progress: whether to show progress.

    Raises:
        AudioError: if audio is damaged or its length differs from that of the recording.
    """
    with Progress(f"{corpus.name}: scores", len(share), "song", progress) as bar:
        for number in share:
            song = corpus[number]
            for row in rows:
                _score(metrics, files_of(root, corpus, song), row, song)
            bar.advance()


def _score(metrics: Sequence[Metric], files: SongFiles, row: Row, song: EvaluationSong) -> None:
    stored = files.read_scores(row)
    missing = [metric for metric in metrics if metric.id not in stored]
    if not missing:
        return
    audio = files.read_audio(row)
    check_pair(audio, song.audio, f"{song.id}: {row.name}")
    comparison = Comparison(files, row, audio, song)
    files.write_scores(row, stored | {metric.id: metric(comparison) for metric in missing})


def _f1(agreement: Agreement) -> float | None:
    # The F1 of a minute without notes, where none are found, is undefined.
    return agreement.f1 if agreement.references or agreement.estimates else None


def mean_over_songs(
    column: Column, songs: Sequence[ScoredSong], replicates: int, frames: int | None = None
) -> CorpusScore:
    """Computes the mean of a column over songs, with a 95 % bootstrap confidence interval.

    Args:
        column: of the table.
        songs: scored songs.
        replicates: of the bootstrap; 0 for no interval.
        frames: number of frames that the score is of, where that matters.
    """
    values = [song.scores[column.name].whole for song in songs]
    interval = bootstrap_mean(values, replicates=replicates) if replicates else None
    return _corpus_score(float(np.mean(values)), interval, None, frames)


def _corpus_score(
    value: float, interval: Interval | None, extrapolated: float | None, frames: int | None
) -> CorpusScore:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return CorpusScore(value, low, high, extrapolated, frames)
