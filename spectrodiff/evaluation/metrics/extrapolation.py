"""Frechet distances without the bias of a finite number of frames ("FAD-infinity")."""

import zlib
from collections.abc import Sequence

import numpy as np

from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all

NUM_SIZES = 15
LARGEST_TO_SMALLEST = 5

# When the extrapolation is trusted; `frechet_at_infinity` says where the numbers are from.
FRAMES_PER_DIM = 2
MIN_FRAMES = 10
MIN_EXPLAINED = 0.95
NEGLIGIBLE = 0.01

# Distances that differ by less, relative to the variances, differ by rounding.
_ROUNDING = 1e-7
_FRAMES_PER_BLOCK = 8192


class NestedSubsets:
    """Statistics of 15 random subsets of the frames of an embedding, each a part of the next one.

    The smallest has about a fifth of the frames, the last one has all of them. Recordings are added
    one by one, so memory does not grow with their number. Recordings of the same name are sampled
    at the same frames, also in another object.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._shells: list[Statistics | None] = [None] * NUM_SIZES
        self._frames: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []

    def add(self, name: str, frames: np.ndarray) -> None:
        """Adds the embedding [frames, dims] of a recording."""
        uniform = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        shares = 1 / np.linspace(LARGEST_TO_SMALLEST, 1, NUM_SIZES)
        # Frames in the first subset, and those that each subset has more than the one before.
        numbers = np.searchsorted(shares[:-1], uniform.random(len(frames)), side="right")
        self._frames.append(frames)
        self._numbers.append(numbers)
        if sum(map(len, self._frames)) >= _FRAMES_PER_BLOCK:
            self._sum_up()

    def statistics(self) -> list[Statistics]:
        """Returns the statistics of the subsets that are not empty, the smallest one first."""
        self._sum_up()
        subsets: list[Statistics] = []
        for shell in self._shells:
            if shell is not None:
                subsets.append(merge_all([*subsets[-1:], shell]))
        return subsets

    def _sum_up(self) -> None:
        if not self._frames:
            return
        frames, numbers = np.concatenate(self._frames), np.concatenate(self._numbers)
        self._frames, self._numbers = [], []
        for number in np.unique(numbers):
            more, before = Statistics.of(frames[numbers == number]), self._shells[number]
            self._shells[number] = before.merge(more) if before else more


def frechet_at_infinity(
    subsets: Sequence[Statistics], reference: Sequence[Statistics] | Statistics
) -> float | None:
    """Extrapolates the Frechet distance to infinitely many frames.

    With N frames the distance is too large by about slope / N, where the slope depends on the
    embedding and on the model (Gui et al., arXiv:2311.01616; Chong and Forsyth, CVPR 2020). A line
    over 1 / N is fitted to the distances of subsets and evaluated at 1 / N = 0.

    Both sides shrink together, so the bias of both is removed. (The cited papers keep the reference
    as it is, which leaves the reference's bias.) Of a song and its recording, the same frames have
    to be chosen: if only one side shrinks, they are alike in all frames but not in subsets, and
    the result is too low, for a recording compared with itself even negative.

    The result is None where the law does not hold or the line does not show it:

    - the smallest subset has fewer than 2 frames per dimension, or fewer than 10 (above 1024
      dimensions, where only variances count, 10 are enough);
    - the line explains less than 95 % of the variance of the distances, or they do not fall with N,
      unless the result differs by less than 1 % from the distance of all frames;
    - the result is negative.

    The numbers are from Gaussians of 16, 64 and 128 dimensions, whose true distance is known
    (`benchmarks/extrapolation.py`). With half a frame per dimension in the smallest subset, a
    fifth of the bias is left; from one frame on the mean error is near 0. If only one side shrinks,
    half of the bias is left, and of correlated sides twice the bias is subtracted. Where a line
    explains 95 %, it is nearer to the true distance than the plain distance in 92 to 98 % of the
    cases.

    Frames of a song are alike. What is removed is the bias of few frames, not that of few songs.

    Args:
        subsets: statistics of nested subsets of the frames, the smallest one first.
        reference: subsets of the same shares of the frames they are compared with, or the
            statistics of a reference that does not shrink.

    Raises:
        AudioError: if their dimensions differ.
    """
    if isinstance(reference, Statistics):
        sides, references = [subsets], [reference] * len(subsets)
    else:
        sides, references = [subsets, reference], list(reference)
    if any(len(side) < NUM_SIZES or side[0].count < _least(side[0]) for side in sides):
        return None
    distances = np.array([frechet_distance(a, b) for a, b in zip(subsets, references, strict=True)])
    if np.ptp(distances) <= _ROUNDING * (_variance(subsets[-1]) + _variance(references[-1])):
        return float(distances[-1])
    inverses = sum(1 / np.array([subset.count for subset in side]) for side in sides)
    slope, value = np.polyfit(inverses, distances, 1)
    if abs(value - distances[-1]) <= NEGLIGIBLE * distances[-1]:
        return float(value)
    unexplained = np.var(distances - slope * inverses) / np.var(distances)
    if unexplained > 1 - MIN_EXPLAINED or slope < 0 or value < 0:
        return None
    return float(value)


def _variance(statistics: Statistics) -> float:
    """Returns the sum of the variances of all dimensions."""
    covariance = statistics.covariance
    return float(covariance.sum() if covariance.ndim == 1 else np.trace(covariance))


def _least(subset: Statistics) -> int:
    """Returns the number of frames that the smallest subset needs."""
    return max(MIN_FRAMES, FRAMES_PER_DIM * len(subset.mean) if subset.scatter.ndim == 2 else 0)
