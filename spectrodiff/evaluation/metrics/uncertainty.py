"""Confidence intervals by bootstrap over songs, with a fixed seed, so results are reproducible."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all
from spectrodiff.evaluation.metrics.extrapolation import NestedSubsets, frechet_at_infinity

REPLICATES = 200
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """95 % confidence interval of a score, a percentile bootstrap over songs.

    A sample with repeated songs differs more from another sample than one without, so the Frechet
    distances of samples are too large by some mean amount, which is subtracted.
    """

    low: float
    high: float


@dataclass(frozen=True)
class CorpusFrechet:
    """Frechet distance between renderings and recordings of a corpus, with its uncertainty.

    Attributes:
        distance: distance between the frames of all songs (FAD).
        interval: confidence interval; None for a single song.
        extrapolated: distance without the bias of a finite number of frames (FAD-infinity); None
            where it cannot be trusted (see `extrapolation.frechet_at_infinity`).
    """

    distance: float
    interval: Interval | None
    extrapolated: float | None


def score_frechet(
    predictions: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> CorpusFrechet:
    """Computes the Frechet distance of a corpus.

    Args:
        predictions: embedding of the rendered audio of each song, [frames, dims].
        targets: embeddings of the recordings of the same songs, in the same order.
        replicates: number of bootstrap replicates; 0 for no interval.
        seed: seed of the bootstrap and of the extrapolation.

    Raises:
        AudioError: if there are no songs, or their embeddings have different dimensions.
    """
    from threadpoolctl import threadpool_limits

    # Thousands of decompositions of small matrices: threads wait for each other longer than they
    # work, on a busy machine a hundred times longer.
    with threadpool_limits(1, user_api="blas"):
        ours, theirs = [[Statistics.of(x) for x in side] for side in (predictions, targets)]
        target = merge_all(theirs)
        interval = None
        if replicates:
            interval = bootstrap_frechet(ours, theirs, replicates=replicates, seed=seed)
        subsets, references = NestedSubsets(seed=seed), NestedSubsets(seed=seed)
        for number, (prediction, recording) in enumerate(zip(predictions, targets, strict=True)):
            subsets.add(str(number), prediction)
            references.add(str(number), recording)
        extrapolated = frechet_at_infinity(subsets.statistics(), references.statistics())
        return CorpusFrechet(frechet_distance(merge_all(ours), target), interval, extrapolated)


def bootstrap_mean(
    values: Sequence[float], *, replicates: int = REPLICATES, seed: int = 0
) -> Interval | None:
    """Returns the interval of the mean of one value per song; None for fewer than two songs."""
    if len(values) < 2:
        return None
    weights = resample(len(values), replicates, seed)
    return percentile_interval(weights @ np.asarray(values, np.float64) / len(values))


def bootstrap_frechet(
    predictions: Sequence[Statistics],
    targets: Sequence[Statistics],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    paired: bool = True,
) -> Interval | None:
    """Returns the interval of the Frechet distance of a corpus; None for fewer than two songs.

    Args:
        predictions: statistics of the rendered audio of each song.
        targets: statistics of the recordings that they are compared with.
        replicates: number of bootstrap replicates.
        seed: seed of the resampling.
        paired: True if `targets` are recordings of the same songs in the same order. A song and its
            recording are then resampled together, otherwise independently.
    """
    if paired and len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions and {len(targets)} targets")
    if len(predictions) < 2:
        return None
    prediction, target = _Songs(predictions), _Songs(targets)
    ours = resample(len(predictions), replicates, seed)
    theirs = ours if paired else resample(len(targets), replicates, seed + 1)
    distances = np.array(
        [
            frechet_distance(prediction.merge(row), target.merge(other))
            for row, other in zip(ours, theirs, strict=True)
        ]
    )
    distance = frechet_distance(merge_all(predictions), merge_all(targets))
    return percentile_interval(np.maximum(distances - distances.mean() + distance, 0))


class _Songs:
    """Statistics of songs that can be merged with a weight per song."""

    def __init__(self, songs: Sequence[Statistics]) -> None:
        everything = merge_all(songs)
        self._center = everything.mean
        self._counts = np.array([song.count for song in songs], np.float64)
        # Means are close to their common center, so little precision is lost when products cancel.
        self._means = np.stack([song.mean for song in songs]) - self._center
        self._scatters = np.stack([song.scatter for song in songs])

    def merge(self, times: np.ndarray) -> Statistics:
        """Merges the songs, song i repeated `times[i]` times, float64 [songs]."""
        counts = times * self._counts
        count = counts.sum()
        mean = counts @ self._means / count
        scatter = np.tensordot(times, self._scatters, axes=1)
        if scatter.ndim == 2:
            scatter += (self._means * counts[:, np.newaxis]).T @ self._means
            scatter -= count * np.outer(mean, mean)
        else:
            scatter += counts @ self._means**2 - count * mean**2
        return Statistics(int(count), mean + self._center, scatter)


def resample(songs: int, replicates: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """Returns the number of times that each song is in each replicate, [replicates, songs]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(songs, np.full(songs, 1 / songs), size=replicates).astype(np.float64)


def percentile_interval(scores: np.ndarray) -> Interval:
    """Returns the interval that holds 95 % of the scores of bootstrap replicates, [replicates]."""
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
