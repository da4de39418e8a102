"""Confidence intervals by bootstrap over songs, and the bias of Frechet distances.

Both use random numbers with a fixed seed, so results are reproducible.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all

REPLICATES = 200
LEVEL = 0.95

# Extrapolation to infinitely many frames: number of sample sizes, ratio of the largest to the
# smallest, and number of frames below which none is made.
NUM_SIZES = 15
LARGEST_TO_SMALLEST = 5
MIN_EXTRAPOLATED_FRAMES = 50


@dataclass(frozen=True)
class Interval:
    """95 % confidence interval of a score, a percentile bootstrap over songs.

    For a Frechet distance it is biased upwards: a sample with repeated songs differs more from
    another sample than one without.
    """

    low: float
    high: float


@dataclass(frozen=True)
class CorpusFrechet:
    """Frechet distance between renderings and recordings of a corpus, with its uncertainty.

    Attributes:
        distance: distance between the frames of all songs (FAD).
        interval: confidence interval; None for a single song.
        extrapolated: distance without the bias of a finite number of frames; None if there are
            fewer than 50 frames.
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
        interval = extrapolated = None
        if replicates:
            interval = bootstrap_frechet(ours, theirs, replicates=replicates, seed=seed)
        if sum(map(len, predictions)) >= MIN_EXTRAPOLATED_FRAMES:
            extrapolated = frechet_at_infinity(predictions, target, seed=seed)
        return CorpusFrechet(frechet_distance(merge_all(ours), target), interval, extrapolated)


def bootstrap_mean(
    values: Sequence[float], *, replicates: int = REPLICATES, seed: int = 0
) -> Interval | None:
    """Returns the interval of the mean of one value per song; None for fewer than two songs."""
    if len(values) < 2:
        return None
    weights = _resample_songs(len(values), replicates, seed)
    return _interval(weights @ np.asarray(values, np.float64) / len(values))


def bootstrap_frechet(
    predictions: Sequence[Statistics],
    targets: Sequence[Statistics],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval | None:
    """Returns the interval of the Frechet distance of a corpus; None for fewer than two songs.

    Args:
        predictions: statistics of the rendered audio of each song.
        targets: statistics of the recordings of the same songs, in the same order. A song and its
            recording are resampled together.
        replicates: number of bootstrap replicates.
        seed: seed of the resampling.
    """
    if len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions and {len(targets)} targets")
    if len(predictions) < 2:
        return None
    prediction, target = _Songs(predictions), _Songs(targets)
    weights = _resample_songs(len(predictions), replicates, seed)
    return _interval(
        np.array([frechet_distance(prediction.merge(row), target.merge(row)) for row in weights])
    )


def frechet_at_infinity(
    predictions: Sequence[np.ndarray], target: Statistics, *, seed: int = 0
) -> float:
    """Extrapolates the Frechet distance to infinitely many frames ("FAD-infinity").

    With N frames the distance is too large by about slope / N, where the slope depends on the
    embedding and on the model (Gui et al., arXiv:2311.01616; Chong and Forsyth, CVPR 2020). A line
    over 1 / N is fitted to the distances of random subsets, from a fifth of the frames to all of
    them, and evaluated at 1 / N = 0. The law holds for N well above the number of dimensions.

    Args:
        predictions: embedding of the rendered audio of each song, [frames, dims].
        target: statistics of all recordings.
        seed: seed of the choice of subsets.

    Raises:
        AudioError: if there are too few frames for subsets.
    """
    total = sum(map(len, predictions))
    sizes = np.unique((total / np.linspace(LARGEST_TO_SMALLEST, 1, NUM_SIZES)).astype(int))
    if len(sizes) < 3 or sizes[0] < 2:
        raise AudioError("embeddings", "enough frames to extrapolate from", str(total))
    # The first frames of a random order are a random sample of any size. Only the frames that one
    # size has more than the previous one have to be summed up.
    order = np.random.default_rng(seed).permutation(total)
    shells = np.split(order, sizes[:-1])
    frames = np.concatenate(predictions)
    distances, sample = [], None
    for shell in shells:
        more = Statistics.of(frames[shell])
        sample = more if sample is None else sample.merge(more)
        distances.append(frechet_distance(sample, target))
    _, value = np.polyfit(1 / sizes, distances, 1)
    return float(value)


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


def _resample_songs(songs: int, replicates: int, seed: int) -> np.ndarray:
    """Returns the number of times that each song is in each replicate, [replicates, songs]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(songs, np.full(songs, 1 / songs), size=replicates).astype(np.float64)


def _interval(scores: np.ndarray) -> Interval:
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
