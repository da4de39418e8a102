"""What scores the audio of a song: signals, embeddings and transcriptions behind one interface."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.columns import (
    F1,
    LOG_MEL_L1,
    ONSET_F1,
    ONSET_OFFSET_F1,
    SIGNAL_METRICS,
    SPECTRAL_DISTANCE,
    Metric,
    embedding_metrics,
    slug,
)
from spectrodiff.evaluation.metrics.embeddings import Embedding, embed
from spectrodiff.evaluation.metrics.inputs import check_pair
from spectrodiff.evaluation.metrics.minutes import (
    Score,
    count_minutes,
    mean_of_frames,
    notes_by_minute,
)
from spectrodiff.evaluation.metrics.signal_distances import log_mel_l1, spectral_distance
from spectrodiff.evaluation.metrics.transcriber import Transcriber
from spectrodiff.evaluation.metrics.transcription_scores import (
    Agreement,
    score_onsets,
    score_transcription,
)
from spectrodiff.evaluation.scores import MINUTE_SAMPLES
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.songs import EvaluationCorpus, EvaluationSong
from spectrodiff.evaluation.store import SongFiles, files_of, read_array, write_array
from spectrodiff.music.notes import Notes


class Take(NamedTuple):
    """Audio of a row, and what it is compared with."""

    files: SongFiles
    row: Row
    audio: np.ndarray  # float32 [samples]
    song: EvaluationSong


class Scorer(Protocol):
    """Scores one song of one row."""

    @property
    def id(self) -> str:
        """Of the kind of score and of the weights behind it, for file names."""
        ...

    @property
    def metrics(self) -> Sequence[Metric]:
        """All that it contributes to the tables."""
        ...

    def __call__(self, take: Take) -> dict[str, Score]:
        """Scores by metric, of those metrics that a single song has."""
        ...


class SignalScorer:
    """Distances of the signals themselves."""

    id = "signal"
    metrics = SIGNAL_METRICS

    def __call__(self, take: Take) -> dict[str, Score]:
        """Log-mel L1 and spectral distance to the true audio."""
        audio, target = take.audio, take.song.audio
        return {
            LOG_MEL_L1.name: log_mel_l1(audio, target),
            SPECTRAL_DISTANCE.name: spectral_distance(audio, target),
        }


class EmbeddingScorer:
    """Distances of embeddings, which are stored: the Frechet distance needs those of all songs.

    Args:
        embedding: the embedding.
        checksum: of its weights; None if it has none.
    """

    def __init__(self, embedding: Embedding, checksum: str | None = None) -> None:
        self._embedding = embedding
        self.name = embedding.name
        self.id = slug(embedding.name) + (f"-{checksum}" if checksum else "")
        self.metrics = embedding_metrics(embedding.name)

    def __call__(self, take: Take) -> dict[str, Score]:
        """The reconstruction distance, of the song and by minutes.

        The frames of an embedding lie evenly over a song, so that a minute has its share of them.
        """
        prediction = self._embed(take, take.row, take.audio)
        target = self._embed(take, None, take.song.audio)
        frames = min(len(prediction), len(target))
        distances = np.linalg.norm(prediction[:frames].astype(np.float64) - target[:frames], axis=1)
        minutes = len(take.song.audio) / MINUTE_SAMPLES
        return {self.metrics[0].name: mean_of_frames(distances, frames / max(minutes, 1.0))}

    def _embed(self, take: Take, row: Row | None, audio: np.ndarray) -> np.ndarray:
        path = take.files.embedding(row, self.id)
        if not path.is_file():
            name = f"{take.song.id}: {row.name if row else 'recording'}"
            write_array(path, embed(self._embedding, audio, name))
        return read_array(path)


class TranscriptionScorer:
    """How many of a song's notes a transcriber hears in the audio.

    Args:
        transcriber: what hears notes.
        checksum: of its weights.
        programs: whether it tells instruments and drums; if not, instruments are ignored and drums
            left out.
    """

    def __init__(self, transcriber: Transcriber, checksum: str, *, programs: bool) -> None:
        self._transcriber, self._programs = transcriber, programs
        self.id = f"{slug(transcriber.name)}-{checksum}"
        with_programs = (*F1.values(),) if programs else ()
        self.metrics = (*with_programs, ONSET_F1, ONSET_OFFSET_F1)

    def __call__(self, take: Take) -> dict[str, Score]:
        """F1 of the song, and of the notes that begin in each of its minutes."""
        heard = self._transcriber(take.audio)
        count = count_minutes(len(take.song.audio))
        whole = self._agreements(take.song.notes, heard)
        minutes = [
            self._agreements(reference, estimate)
            for reference, estimate in zip(
                notes_by_minute(take.song.notes, count), notes_by_minute(heard, count), strict=True
            )
        ]
        return {
            metric: Score(agreement.f1, [_f1(minute[metric]) for minute in minutes])
            for metric, agreement in whole.items()
        }

    def _agreements(self, reference: Notes, estimate: Notes) -> dict[str, Agreement]:
        scores = score_transcription(reference, estimate)
        with_programs = {F1[name].name: score.all for name, score in scores.items()}
        return (with_programs if self._programs else {}) | {
            ONSET_F1.name: score_onsets(reference, estimate),
            ONSET_OFFSET_F1.name: scores["flat"].nondrums,
        }


def _f1(agreement: Agreement) -> float | None:
    # A minute without notes, in which none are heard, says nothing.
    return agreement.f1 if agreement.references or agreement.estimates else None


def score_songs(
    scorers: Sequence[Scorer],
    root: Path,
    rows: Sequence[Row],
    corpus: EvaluationCorpus,
    share: Sequence[int],
    *,
    progress: bool,
) -> None:
    """Scores every row of some songs, and stores what is not stored yet.

    Args:
        scorers: what to score with.
        root: the evaluation's folder.
        rows: the rows, whose audio is there.
        corpus: whose songs.
        share: which of them, by number.
        progress: whether to show it.

    Raises:
        AudioError: if audio is damaged, or of another length than the recording.
    """
    with Progress(f"{corpus.name}: scores", len(share), "song", progress) as bar:
        for number in share:
            song = corpus[number]
            for row in rows:
                _score(scorers, files_of(root, corpus, song), row, song)
            bar.advance()


def _score(scorers: Sequence[Scorer], files: SongFiles, row: Row, song: EvaluationSong) -> None:
    stored = files.read_scores(row)
    missing = [scorer for scorer in scorers if scorer.id not in stored]
    if not missing:
        return
    audio = files.read_audio(row)
    check_pair(audio, song.audio, f"{song.id}: {row.name}")
    take = Take(files, row, audio, song)
    files.write_scores(row, stored | {scorer.id: scorer(take) for scorer in missing})
