"""Markdown tables of a curve: values with relative differences, and paired differences."""

from collections.abc import Sequence

from listening.tables import NOT_MEASURED

from .points import Curve, Measure, Point
from .verdicts import TOLERANCE, Verdict, verdicts

FAILS = "✗"
_MODELS = ("teacher", "late", "student", "seed")


def curve_table(curve: Curve) -> str:
    """Returns a summary, a table of all values, and a table of paired differences."""
    reference = curve.reference_point
    models = [point for point in curve.points if point.role in _MODELS]
    others = [point for point in curve.points if point.role not in _MODELS]
    compared = [point for point in models if point is not reference]
    judged = {id(point): verdicts(curve, point) for point in compared}
    single = [m.name for m in reference.measures if m.statistic is None]
    parts = [
        f"{curve.form} form, seed {curve.seed}, soundfonts at gain {curve.gain:g}. Reference: "
        f"{reference.title} ({reference.evaluations} evaluations per segment).",
        f"A column passes if it is within {100 * TOLERANCE:g} % of the reference, better, or if "
        "the paired 95 % interval of the difference (bootstrap over items: songs, notes, joins or "
        "windows of 0.5 s) contains 0. Intervals of fewer than six items are too narrow. In "
        "the tables, " + FAILS + " marks columns that fail. Single numbers, judged without an "
        f"interval: {'; '.join(single) or 'none'}.",
        _summary(compared, judged),
        _values(curve, models, others, judged),
        "Differences to the reference, with paired 95 % intervals:",
        _differences(reference, compared, judged),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(points: Sequence[Point], judged: dict[int, list[Verdict]]) -> str:
    lines = [
        "| | evaluations | columns that pass | by 2 % or better alone |",
        "|---|---:|---:|---:|",
    ]
    for point in points:
        found = judged[id(point)]
        passed = sum(verdict.passes for verdict in found)
        alone = sum(verdict.passes_alone for verdict in found)
        count = len(found)
        lines.append(
            f"| {point.title} | {point.evaluations} | {passed} of {count} | {alone} of {count} |"
        )
    return "\n".join(lines)


def _values(
    curve: Curve,
    models: Sequence[Point],
    others: Sequence[Point],
    judged: dict[int, list[Verdict]],
) -> str:
    titles = [f"{point.title} ({point.evaluations})" for point in models]
    lines = _head([*titles, *(point.title for point in others)])
    for number, reference in enumerate(curve.reference_point.measures):
        cells = []
        for point in models:
            if id(point) in judged:
                cells.append(_judged_value(judged[id(point)][number]))
            else:
                cells.append(_show(reference.value))
        for point in others:
            measure = point.measure(reference.column)
            cells.append(_show(measure.value if measure else None))
        lines.append(_row(curve.reference_point, number, cells))
    return "\n".join(lines)


def _differences(
    reference: Point, points: Sequence[Point], judged: dict[int, list[Verdict]]
) -> str:
    lines = _head(["items", *(point.title for point in points)])
    for number, measure in enumerate(reference.measures):
        count = str(len(measure.items)) if measure.statistic else NOT_MEASURED
        cells = [_difference(judged[id(point)][number]) for point in points]
        lines.append(_row(reference, number, [count, *cells]))
    return "\n".join(lines)


def _head(titles: Sequence[str]) -> list[str]:
    return ["| | measure | " + " | ".join(titles) + " |", "|---|---|" + "---:|" * len(titles)]


def _row(reference: Point, number: int, cells: Sequence[str]) -> str:
    measures = reference.measures
    measure: Measure = measures[number]
    is_first = number == 0 or measures[number - 1].group != measure.group
    group = measure.group if is_first else ""
    return f"| {group} | {measure.title} | " + " | ".join(cells) + " |"


def _judged_value(verdict: Verdict) -> str:
    shown = _show(verdict.measure.value if verdict.measure else None)
    if verdict.relative is not None:
        # No "-0.0".
        shown += f" ({round(100 * verdict.relative, 1) + 0.0:+.1f} %)"
    return shown if verdict.passes else f"{shown} {FAILS}"


def _difference(verdict: Verdict) -> str:
    if verdict.difference is None:
        return NOT_MEASURED
    shown = _signed(verdict.difference)
    if verdict.interval is not None:
        shown += f" ({_signed(verdict.interval.low)} to {_signed(verdict.interval.high)})"
    return shown if verdict.passes else f"{shown} {FAILS}"


def _show(number: float | None) -> str:
    return NOT_MEASURED if number is None else f"{round(number, 3) + 0.0:.3f}"


def _signed(number: float) -> str:
    return f"{round(number, 3) + 0.0:+.3f}"
