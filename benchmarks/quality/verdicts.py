"""Comparison of a point with the reference, column by column."""

import dataclasses

from listening.statistics import paired_interval

from spectrodiff.evaluation.metrics.uncertainty import Interval

from .points import Curve, Measure, Point

# Relative difference that counts as none, and rounding errors of values at its end.
TOLERANCE = 0.02
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Comparison of a measure with that of the reference.

    Attributes:
        measure: of the point; None if it lacks the column.
        difference: value minus the reference's; None if one of them could not be measured.
        relative: the difference divided by the reference's magnitude; None if that is 0, too.
        interval: paired 95 % interval of the difference; None for a single number.
        passes_alone: whether the value is better than the reference's, as good or within 2 % of it.
            Values that could be measured on neither side pass, those on one side fail.
        passes: whether that holds or the interval contains 0.
    """

    measure: Measure | None
    difference: float | None
    relative: float | None
    interval: Interval | None
    passes_alone: bool
    passes: bool


def judge(ours: Measure | None, reference: Measure, target: float | None) -> Verdict:
    """Compares a measure with that of the reference.

    Args:
        ours: measure of a point.
        reference: the same of the reference.
        target: value of the soundfont, for measures that are better if closer to it; without it
            no value is better.
    """
    value = ours.value if ours is not None else None
    if ours is None or value is None or reference.value is None:
        nothing = value is None and reference.value is None
        return Verdict(ours, None, None, None, nothing, nothing)
    difference = value - reference.value
    size = abs(reference.value)
    interval = None
    if reference.statistic is not None and ours.statistic == reference.statistic:
        interval = paired_interval(reference.statistic, ours.items, reference.items)
    if reference.better == "reference":
        better = target is not None and abs(value - target) <= abs(reference.value - target)
    else:
        better = difference >= 0 if reference.better == "higher" else difference <= 0
    alone = better or abs(difference) <= (TOLERANCE + _ROUNDING) * size
    same = interval is not None and interval.low <= 0 <= interval.high
    relative = difference / size if size else None
    return Verdict(ours, difference, relative, interval, alone, alone or same)


def verdicts(curve: Curve, point: Point) -> list[Verdict]:
    """Compares a point with the reference of its curve, in the order of the reference's columns."""
    soundfont = curve.first("soundfont")
    found = []
    for reference in curve.reference_point.measures:
        perfect = soundfont.measure(reference.column) if soundfont else None
        target = perfect.value if perfect else None
        found.append(judge(point.measure(reference.column), reference, target))
    return found
