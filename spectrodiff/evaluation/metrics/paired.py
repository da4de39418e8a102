"""Statistics of paired differences: sign-flip test, correction for many tests, interval.

All use random numbers with a fixed seed, so results are reproducible.
"""

import functools
from collections.abc import Sequence

import numpy as np

from spectrodiff.evaluation.metrics.uncertainty import Interval, percentile_interval, resample

# Up to this number of pairs all patterns of signs are tried (65,536), with more a random sample.
MAX_EXACT_PAIRS = 16
RANDOM_PATTERNS = 99_999
REPLICATES = 2000
_BLOCK = 4096

# All columns of a table resample the same songs, and drawing takes longer than the rest.
_resample = functools.lru_cache(maxsize=16)(resample)


def sign_flip_p_values(parts: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Returns two-sided p-values that mean differences are zero, by flipping signs of differences.

    If both sides of a pair are alike, its difference could as well have the other sign. The p-value
    is the share of all patterns of signs whose sum is at least as far from zero as the actual one.
    With more than 16 pairs it is estimated from 99,999 random patterns, and the actual one.

    Args:
        parts: contributions of the pairs to each mean difference, difference times weight, float64
            [pairs, columns]. Pairs that a column lacks contribute 0.
        seed: seed of the random patterns, which all columns share.

    Returns:
        float64 [columns], above 0 and at most 1.
    """
    pairs = len(parts)
    # Sums that differ only by rounding are equal.
    actual = np.abs(parts.sum(axis=0)) - 1e-9 * np.abs(parts).sum(axis=0)
    if pairs <= MAX_EXACT_PAIRS:
        bits = np.arange(2**pairs)[:, np.newaxis] >> np.arange(pairs) & 1
        exact: np.ndarray = np.mean(np.abs((2.0 * bits - 1) @ parts) >= actual, axis=0)
        return exact
    rng = np.random.default_rng(seed)
    extreme = np.ones(parts.shape[1])
    for start in range(0, RANDOM_PATTERNS, _BLOCK):
        size = (min(_BLOCK, RANDOM_PATTERNS - start), pairs)
        signs = 2.0 * rng.integers(0, 2, size, dtype=np.int8) - 1
        extreme += np.sum(np.abs(signs @ parts) >= actual, axis=0)
    return extreme / (RANDOM_PATTERNS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number by the method of Holm.

    Testing each corrected value at a level keeps the chance of any false rejection below the level.
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def mean_interval(
    groups: Sequence[Sequence[float]], *, replicates: int = REPLICATES, seed: int = 0
) -> Interval | None:
    """Returns the 95 % interval of the mean of the groups' means, a percentile bootstrap.

    Args:
        groups: values of each group; they are resampled within their group.
        replicates: number of bootstrap replicates.
        seed: seed of the resampling.

    Returns:
        None if a group has fewer than two values, or there is no group.
    """
    if not groups or min(map(len, groups)) < 2:
        return None
    means = np.zeros(replicates)
    for number, group in enumerate(groups):
        times = _resample(len(group), replicates, (seed, number))
        means += times @ np.asarray(group, np.float64) / (len(group) * len(groups))
    return percentile_interval(means)
