"""Statistics of items, such as songs, notes or joins, that make up the value of a measure."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from spectrodiff.evaluation.metrics.paired import REPLICATES
from spectrodiff.evaluation.metrics.uncertainty import Interval, percentile_interval, resample

from .levels import LEAST_RMS

Statistic = Literal[
    "mean",
    "sum",
    "quotient",
    "double quotient",
    "decibels",
    "median",
    "centered median",
    "centered 95th percentile",
    "centered deviation",
    "absolute median",
    "absolute 95th percentile",
]
# One row of numbers per item. None is what could not be measured.
Items = Sequence[Sequence[float | None]]


def compute(statistic: Statistic, items: np.ndarray) -> np.ndarray:
    """Computes a statistic of items.

    "mean" and "sum" are over items of one number. "quotient" divides the sums of two numbers,
    "double quotient" divides the quotient of the first two by that of the last two, and "decibels"
    is the same of powers, in dB. The others are of one number, which may be NaN: "centered" ones
    after subtracting the median, "absolute" ones of absolute values.

    Args:
        statistic: name of the statistic.
        items: float64 [..., items, numbers].

    Returns:
        float64 [...]; NaN where the statistic is not defined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return _STATISTICS[statistic](np.asarray(items, np.float64))


def paired_interval(
    statistic: Statistic, ours: Items, theirs: Items, *, replicates: int = REPLICATES
) -> Interval | None:
    """Returns the 95 % interval of the difference of a statistic, a paired percentile bootstrap.

    Each replicate draws items with replacement, the same ones for both sides. For a mean this is
    the interval of the mean difference.

    Args:
        statistic: name of the statistic.
        ours: items of one side.
        theirs: the same items of the other side.
        replicates: number of bootstrap replicates.

    Returns:
        None if there are fewer than two items, the sides have different numbers of them, or the
        statistic is not defined for most replicates.
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        return None
    # The seed is that of `paired.mean_interval`, so that intervals of means are the same.
    times = resample(len(ours), replicates, (0, 0)).astype(int)
    drawn = np.repeat(np.tile(np.arange(len(ours)), replicates), times.ravel())
    drawn = drawn.reshape(replicates, len(ours))
    sides = [compute(statistic, _array(side)[drawn]) for side in (ours, theirs)]
    differences = sides[0] - sides[1]
    known = differences[np.isfinite(differences)]
    return percentile_interval(known) if 2 * len(known) > replicates else None


def as_items(values: Sequence[float] | np.ndarray) -> Items:
    """Returns values [items] or [items, numbers] as items; NaN becomes None."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return ()
    rows = array.reshape(len(array), -1).tolist()
    return tuple(tuple(None if np.isnan(number) else number for number in row) for row in rows)


def _array(items: Items) -> np.ndarray:
    return np.array(items, np.float64)  # None becomes NaN


def _quotient(items: np.ndarray) -> np.ndarray:
    sums = items.sum(axis=-2)
    return np.asarray(sums[..., 0] / sums[..., 1])


def _double_quotient(items: np.ndarray) -> np.ndarray:
    return _quotient(items[..., :2]) / _quotient(items[..., 2:])


def _decibels(items: np.ndarray) -> np.ndarray:
    powers = [np.maximum(_quotient(part), LEAST_RMS**2) for part in np.split(items, 2, axis=-1)]
    return np.asarray(10 * np.log10(powers[0] / powers[1]))


def _centered(items: np.ndarray) -> np.ndarray:
    return np.asarray(items - np.median(items, axis=-2, keepdims=True))


def _percentile(percent: float, items: np.ndarray) -> np.ndarray:
    """Returns a percentile of the first number of those items that have one."""
    values = np.sort(items[..., 0], axis=-1)  # NaN comes last
    last = np.sum(np.isfinite(values), axis=-1) - 1
    rank = np.maximum(last, 0) * percent / 100
    low = np.floor(rank).astype(int)
    high = np.minimum(low + 1, np.maximum(last, 0))
    below, above = (
        np.take_along_axis(values, place[..., np.newaxis], axis=-1)[..., 0] for place in (low, high)
    )
    return np.asarray(below + (above - below) * (rank - low))


_STATISTICS: dict[Statistic, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda items: items[..., 0].mean(axis=-1),
    "sum": lambda items: items[..., 0].sum(axis=-1),
    "quotient": _quotient,
    "double quotient": _double_quotient,
    "decibels": _decibels,
    "median": lambda items: _percentile(50, items),
    "centered median": lambda items: _percentile(50, np.abs(_centered(items))),
    "centered 95th percentile": lambda items: _percentile(95, np.abs(_centered(items))),
    "centered deviation": lambda items: items[..., 0].std(axis=-1),
    "absolute median": lambda items: _percentile(50, np.abs(items)),
    "absolute 95th percentile": lambda items: _percentile(95, np.abs(items)),
}
