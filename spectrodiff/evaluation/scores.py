"""Scores of one song and of a corpus under one embedding."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError
from spectrodiff.core.files import atomic_file
from spectrodiff.evaluation.metrics.distances import (
    Statistics,
    frechet_distance,
    merge_all,
    reconstruction_distance,
)
from spectrodiff.evaluation.metrics.embeddings import Embedding, embed
from spectrodiff.evaluation.metrics.inputs import check_pair
from spectrodiff.evaluation.metrics.uncertainty import (
    REPLICATES,
    Extrapolation,
    Interval,
    bootstrap_frechet,
    bootstrap_mean,
    frechet_at_infinity,
)

MINUTE_SAMPLES = 60 * SAMPLE_RATE
MAX_MINUTES = 10  # of a song, as in the paper
MIN_EXTRAPOLATED_FRAMES = 50


@dataclass(frozen=True, eq=False)
class SongEmbeddings:
    """What is kept of a song to score it, alone and with others, under one embedding.

    Attributes:
        prediction: embedding of the rendered audio, float32 [frames, dims].
        target: of the recording, float32 [frames, dims].
    """

    prediction: np.ndarray
    target: np.ndarray

    @property
    def reconstruction(self) -> float:
        """Mean distance of the frames of both, as far as there are frames of both."""
        return reconstruction_distance(self.prediction, self.target)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file, complete or not at all.

        Raises:
            OutputError: if it cannot be written.
        """
        with atomic_file(path) as temporary:
            np.savez(temporary, prediction=self.prediction, target=self.target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "SongEmbeddings":
        """Reads what `save` wrote.

        Raises:
            AudioError: if it is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["prediction"], arrays["target"])
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise AudioError(path, "embeddings of a song", str(error)) from None


def embed_song(
    embedding: Embedding, prediction: np.ndarray, target: np.ndarray, song: str
) -> SongEmbeddings:
    """Embeds a rendering and the recording it should sound like.

    Args:
        embedding: the embedding.
        prediction: float [samples] at 16 kHz.
        target: float [samples] at 16 kHz.
        song: its name, for error messages.

    Raises:
        AudioError: if either is not mono, empty or holds NaN, or their lengths differ by more than
            a segment.
        CheckpointError: if the embedding returns anything but finite vectors.
    """
    check_pair(prediction, target, song)
    return SongEmbeddings(
        embed(embedding, prediction, f"{song}: prediction"),
        embed(embedding, target, f"{song}: target"),
    )


def cut_minutes(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the first ten minutes of audio [samples] one by one; the last may be shorter."""
    for start in range(0, min(len(audio), MAX_MINUTES * MINUTE_SAMPLES), MINUTE_SAMPLES):
        yield audio[start : start + MINUTE_SAMPLES]


@dataclass(frozen=True)
class CorpusScores:
    """Scores of a corpus under one embedding.

    Attributes:
        songs: how many songs they are of.
        frames: how many frames of the embedding the renderings have.
        dims: the embedding's dimensions; with fewer frames than that, FAD means little.
        reconstruction: mean over songs of their reconstruction distances.
        reconstruction_interval: by bootstrap over songs; None for one song.
        frechet: Frechet distance of the frames of all songs, FAD.
        frechet_interval: by bootstrap over songs; None for one song.
        frechet_at_infinity: FAD without the bias of a finite number of frames; None for too few.
    """

    songs: int
    frames: int
    dims: int
    reconstruction: float
    reconstruction_interval: Interval | None
    frechet: float
    frechet_interval: Interval | None
    frechet_at_infinity: Extrapolation | None


def score_corpus(
    songs: Sequence[SongEmbeddings],
    *,
    expected_songs: int,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> CorpusScores:
    """Scores all songs of a corpus together.

    Args:
        songs: the songs, one or more.
        expected_songs: how many there should be.
        replicates: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap and of the extrapolation.

    Raises:
        AudioError: if there are fewer songs or more, or they are of different embeddings.
    """
    from threadpoolctl import threadpool_limits

    if len(songs) != expected_songs or not songs:
        raise AudioError("scores", f"embeddings of {expected_songs} songs", f"{len(songs)}")
    # Thousands of decompositions of small matrices: threads wait for each other for longer than
    # they work, and on a busy machine a hundred times longer.
    with threadpool_limits(1, user_api="blas"):
        return _score(songs, replicates, seed)


def _score(songs: Sequence[SongEmbeddings], replicates: int, seed: int) -> CorpusScores:
    predictions = [Statistics.of(song.prediction) for song in songs]
    targets = [Statistics.of(song.target) for song in songs]
    prediction, target = merge_all(predictions), merge_all(targets)
    reconstructions = [song.reconstruction for song in songs]
    draws = {"replicates": replicates, "seed": seed}
    return CorpusScores(
        songs=len(songs),
        frames=prediction.count,
        dims=len(prediction.mean),
        reconstruction=float(np.mean(reconstructions)),
        reconstruction_interval=bootstrap_mean(reconstructions, **draws) if replicates else None,
        frechet=frechet_distance(prediction, target),
        frechet_interval=bootstrap_frechet(predictions, targets, **draws) if replicates else None,
        frechet_at_infinity=_extrapolate(songs, target, seed),
    )


def _extrapolate(
    songs: Sequence[SongEmbeddings], target: Statistics, seed: int
) -> Extrapolation | None:
    predictions = [song.prediction for song in songs]
    if sum(map(len, predictions)) < MIN_EXTRAPOLATED_FRAMES:
        return None
    return frechet_at_infinity(predictions, target, seed=seed)
