"""Formatting of numbers and times for readers."""

import math
from collections.abc import Iterable, Mapping

from spectrodiff.evaluation.results import Results
from spectrodiff.report import paper

NOTHING = "–"
_MINUS = "−"


def column_decimals(values: Iterable[float | None]) -> int:
    """Returns the number of decimals of a column, which depends on its largest number.

    1 for numbers of 100 and more, 2 down to 1, 3 down to 0.1, and 4 below.
    """
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(sizes, default=0.0)
    if largest >= 100:
        return 1
    if largest >= 1 or largest == 0:
        return 2
    return 3 if largest >= 0.1 else 4


def decimals_by_column(results: Results) -> Mapping[str, int]:
    """Returns the decimals of each column, the same wherever a report shows one of its scores.

    They depend on the scores of the corpora and their means, in all rows.
    """
    columns = [column.name for column in results.columns]
    values: dict[str, list[float | None]] = {name: [] for name in (*paper.COLUMNS, *columns)}
    for name, of_column in values.items():
        of_column += [means.get(name) for means in results.mean.values()]
        for corpus in results.corpora:
            scores = [by_column.get(name) for by_column in corpus.scores.values()]
            of_column += [score.value for score in scores if score is not None]
    values[paper.REAL_TIME] = [speed.both for speed in results.speeds.values()]
    if results.speed is not None:
        values[paper.REAL_TIME] += [results.speed.both, results.speed.inversion]
    return {name: column_decimals(of_column) for name, of_column in values.items()}


def format_number(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """Formats a number with a fixed number of decimals; with `sign`, as a difference.

    Numbers that round to zero have no sign, so no difference is "-0.00".
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    rounded = round(value, decimals)
    if rounded == 0:
        return f"{0:.{decimals}f}"
    text = f"{abs(rounded):.{decimals}f}"
    return (_MINUS if rounded < 0 else "+" if sign else "") + text


def format_count(count: int) -> str:
    """Formats a whole number with separated thousands."""
    return f"{count:,}"


def format_seconds(seconds: float) -> str:
    """Formats a duration as m:ss or h:mm:ss."""
    total = round(seconds)
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Returns about `count` multiples of 1, 2 or 5 times a power of ten in [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.8 * rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def time_ticks(seconds: float, count: int = 8) -> list[float]:
    """Returns at most `count` + 1 round times from 0 to `seconds`."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
    step = next((step for step in steps if seconds / step <= count), 1200)
    return [float(second) for second in range(0, math.floor(seconds) + 1, step)]
