"""Metric of an embedding: reconstruction distance and Frechet distance."""

from collections.abc import Sequence

import numpy as np

from spectrodiff.core.files import write_array
from spectrodiff.evaluation.columns import embedding_columns, identifier
from spectrodiff.evaluation.metrics.distances import frame_distances
from spectrodiff.evaluation.metrics.embeddings.embedding import Embedding, embed
from spectrodiff.evaluation.metrics.minutes import MINUTE_SAMPLES, Score, mean_of_frames
from spectrodiff.evaluation.metrics.uncertainty import score_frechet
from spectrodiff.evaluation.protocol import Excerpt
from spectrodiff.evaluation.results import CorpusScore
from spectrodiff.evaluation.scoring.metric import (
    Comparison,
    ScoredSong,
    corpus_score,
    mean_over_songs,
)
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.store import read_array


class EmbeddingMetric:
    """Distances of embeddings: reconstruction distance and Frechet distance.

    Embeddings are stored, since the Frechet distance needs those of all songs.

    Args:
        embedding: the embedding.
        checksum: checksum of its weights; None if it has none.
    """

    def __init__(self, embedding: Embedding, checksum: str | None = None) -> None:
        self._embedding = embedding
        self.id = identifier(embedding.name, checksum)
        self.columns = embedding_columns(embedding.name)

    def __call__(self, comparison: Comparison) -> dict[str, Score]:
        """Computes the reconstruction distance of the song and of its minutes."""

        def score_excerpt(excerpt: Excerpt) -> float:
            song = comparison.song.id
            ours = embed(self._embedding, excerpt.audio, f"{song}: {comparison.row.name}")
            theirs = embed(self._embedding, excerpt.target, f"{song}: recording")
            return float(frame_distances(ours, theirs).mean())

        prediction = self._embed(comparison, comparison.row, comparison.audio)
        target = self._embed(comparison, None, comparison.song.audio)
        distances, name = frame_distances(prediction, target), self.columns[0].name
        if comparison.protocol.is_released:
            whole = {name: float(distances.mean())}
            return comparison.with_excerpts(whole, lambda excerpt: {name: score_excerpt(excerpt)})
        # Frames are evenly spaced, so each minute has its share of them.
        minutes = max(len(comparison.song.audio) / MINUTE_SAMPLES, 1.0)
        return {name: mean_of_frames(distances, len(distances) / minutes)}

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
            self.columns[1].name: corpus_score(
                frechet.distance, frechet.interval, frechet.extrapolated, frames
            ),
        }

    def _embed(self, comparison: Comparison, row: Row | None, audio: np.ndarray) -> np.ndarray:
        path = comparison.files.embedding(row, self.id)
        if not path.is_file():
            name = f"{comparison.song.id}: {row.name if row else 'recording'}"
            write_array(path, embed(self._embedding, audio, name))
        return read_array(path)
