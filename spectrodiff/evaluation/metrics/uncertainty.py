"""How far a score of some songs can be trusted: intervals over songs, and the bias of FAD.

Both draw at random from a seed of their own and give the same answer every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all

REPLICATES = 200
LEVEL = 0.95

NUM_SIZES = 15
LARGEST_TO_SMALLEST = 5


@dataclass(frozen=True)
class Interval:
    """Where the score of other songs of the same kind would lie, 95 times of 100.

    A percentile bootstrap over songs. For a Frechet distance it leans upwards, since a sample with
    repeated songs differs more from another than one without.
    """

    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float], *, replicates: int = REPLICATES, seed: int = 0
) -> Interval | None:
    """Of the mean of one value per song; None for fewer than two songs, which tell nothing."""
    if len(values) < 2:
        return None
    weights = _draw_songs(len(values), replicates, seed)
    return _interval(weights @ np.asarray(values, np.float64) / len(values))


def bootstrap_frechet(
    predictions: Sequence[Statistics],
    targets: Sequence[Statistics],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval | None:
    """Of the Frechet distance of all songs' frames; None for fewer than two songs.

    Args:
        predictions: statistics of each song's rendered audio.
        targets: of the same songs' recordings, in the same order: they are drawn together.
        replicates: how many times songs are drawn.
        seed: which songs are drawn.
    """
    if len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions and {len(targets)} targets")
    if len(predictions) < 2:
        return None
    prediction, target = _Songs(predictions), _Songs(targets)
    weights = _draw_songs(len(predictions), replicates, seed)
    return _interval(
        np.array([frechet_distance(prediction.merge(row), target.merge(row)) for row in weights])
    )


@dataclass(frozen=True)
class Extrapolation:
    """The Frechet distance that infinitely many frames would have, "FAD-infinity".

    With N frames the distance is too large by about slope / N, more for one embedding or model than
    for another (Gui et al., arXiv:2311.01616; Chong and Forsyth, CVPR 2020). The law holds for N
    well above the number of dimensions: see `smallest`.

    Attributes:
        value: where the fitted line meets 1/N = 0.
        slope: of the line over 1/N.
        frames: N, the frames of all songs.
        smallest: the smallest number of them that the line was fitted to.
        r_squared: the share of the variance that the line explains.
    """

    value: float
    slope: float
    frames: int
    smallest: int
    r_squared: float


def frechet_at_infinity(
    predictions: Sequence[np.ndarray],
    target: Statistics,
    *,
    num_sizes: int = NUM_SIZES,
    seed: int = 0,
) -> Extrapolation:
    """Fits the Frechet distance of some of the frames to all of the target's over 1/N.

    Args:
        predictions: embedding of each song's rendered audio, [frames, dims].
        target: statistics of all recordings.
        num_sizes: how many numbers of frames are tried, between a fifth of them and all.
        seed: which frames are left out.

    Raises:
        AudioError: if there are too few frames to leave any out.
    """
    total = sum(map(len, predictions))
    sizes = np.unique((total / np.linspace(LARGEST_TO_SMALLEST, 1, num_sizes)).astype(int))
    if len(sizes) < 3 or sizes[0] < 2:
        raise AudioError("embeddings", "enough frames to extrapolate from", str(total))
    # The first frames of a random order are a random sample of any size, and what each size has
    # more than the one before it needs to be summed up only once.
    order = np.random.default_rng(seed).permutation(total)
    shells = np.split(order, sizes[:-1])
    frames = np.concatenate(predictions)
    distances, sample = [], None
    for shell in shells:
        more = Statistics.of(frames[shell])
        sample = more if sample is None else sample.merge(more)
        distances.append(frechet_distance(sample, target))
    slope, value = np.polyfit(1 / sizes, distances, 1)
    residuals = distances - (value + slope / sizes)
    variance = np.var(distances)
    return Extrapolation(
        value=float(value),
        slope=float(slope),
        frames=total,
        smallest=int(sizes[0]),
        r_squared=float(1 - np.mean(residuals**2) / variance) if variance else 1.0,
    )


class _Songs:
    """Statistics of songs, to be merged with every song any number of times."""

    def __init__(self, songs: Sequence[Statistics]) -> None:
        everything = merge_all(songs)
        self._center = everything.mean
        self._counts = np.array([song.count for song in songs], np.float64)
        # Means lie near their common centre, so that little is lost when products cancel.
        self._means = np.stack([song.mean for song in songs]) - self._center
        self._scatters = np.stack([song.scatter for song in songs])

    def merge(self, times: np.ndarray) -> Statistics:
        """With song i `times[i]` times, float64 [songs]."""
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


def _draw_songs(songs: int, replicates: int, seed: int) -> np.ndarray:
    """How often each song is drawn, float64 [replicates, songs]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(songs, np.full(songs, 1 / songs), size=replicates).astype(np.float64)


def _interval(scores: np.ndarray) -> Interval:
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
