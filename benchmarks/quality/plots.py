"""Picture of a curve: small multiples of some measures by the number of network evaluations."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spectrodiff.core.files import atomic_file

from .points import Curve, Point, Role
from .verdicts import TOLERANCE, judge

# Columns and titles of the panels.
PANELS: tuple[tuple[tuple[str, str], str], ...] = (
    (("held back", "onset F1"), "held-back songs: onset F1 ↑"),
    (("held back", "log-mel L1 of the features"), "held-back songs: log-mel L1 ↓"),
    (("held back", "change between frames / FluidR3's"), "change between frames / FluidR3's"),
    (("joins", "change at joins / elsewhere of the features"), "change at joins / elsewhere"),
    (("dense music", "240 bpm: recall"), "240 bpm: recall ↑"),
    (("dense music", "10 repeats a second: recall"), "10 repeats a second: recall ↑"),
)
# The colors of Okabe and Ito, which color-blind readers can tell apart; markers differ, too.
_STYLES = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
_DASHES = ("--", "-.", ":")  # of FluidR3, another soundfont, the inverter alone
_BASELINES: tuple[Role, ...] = ("soundfont", "inverter")
_COLUMNS = 3
_SETTINGS = {"svg.hashsalt": "evaluations", "font.size": 9, "axes.titlesize": 9.5}


def plot_curve(curve: Curve, path: Path) -> None:
    """Plots the measures in `PANELS` of teacher and students; the suffix says the format.

    Filled marks pass, hollow ones fail. Bars are paired 95 % intervals of the difference to the
    reference, drawn from the reference's value: a bar that crosses its line means no difference.
    """
    known = {measure.column for measure in curve.reference_point.measures}
    panels = [(column, title) for column, title in PANELS if column in known]
    rows = -(-len(panels) // _COLUMNS)
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(9.6, 2.7 * rows + 0.5), layout="constrained", facecolor="white")
        all_axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes, (column, title) in zip(all_axes, panels, strict=False):
            _draw(axes, curve, column)
            axes.set_title(title, loc="left")
        for axes in all_axes[len(panels) :]:
            axes.set_axis_off()
        figure.supxlabel(
            "network evaluations per segment (filled: passes, hollow: differs; bars: 95 % interval "
            "of the paired difference, drawn from the reference)",
            fontsize=8.5,
        )
        handles, labels = all_axes[0].get_legend_handles_labels()
        # The band comes last; curves come first.
        handles, labels = handles[1:] + handles[:1], labels[1:] + labels[:1]
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        FigureCanvasAgg(figure)
        # Without the date, the same results make the same file.
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        with atomic_file(path) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)


def _draw(axes: Any, curve: Curve, column: tuple[str, str]) -> None:
    reference = curve.reference_point.measure(column)
    assert reference is not None
    if reference.value is not None:
        size = TOLERANCE * abs(reference.value)
        low, high = reference.value - size, reference.value + size
        axes.axhspan(low, high, color="#0072B2", alpha=0.12, linewidth=0, label="reference ± 2 %")
    lines = _lines(curve.points)
    for (color, marker), (name, points) in zip(_cycle(len(lines)), lines.items(), strict=True):
        _draw_line(axes, curve, column, points, (name, color, marker))
    baselines = [point for point in curve.points if point.role in _BASELINES]
    for dashes, point in zip(_DASHES, baselines, strict=False):
        measure = point.measure(column)
        value = measure.value if measure else None
        # Distances of the first soundfont to itself are 0, and would only flatten the curves.
        shown = math.nan if value is None or value == 0 else value
        axes.axhline(shown, color="0.4", linestyle=dashes, linewidth=1, label=point.name)
    ticks = sorted({p.evaluations for p in curve.points if p.evaluations is not None})
    axes.set_xscale("log")
    axes.set_xticks(ticks, map(str, ticks))
    # The same in all panels, also where a student lacks the measure.
    axes.set_xlim(ticks[0] / 1.15, ticks[-1] * 1.15)
    axes.minorticks_off()
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_line(
    axes: Any,
    curve: Curve,
    column: tuple[str, str],
    points: Sequence[Point],
    style: tuple[str, str, str],
) -> None:
    name, color, marker = style
    reference = curve.reference_point.measure(column)
    soundfont = curve.first("soundfont")
    perfect = soundfont.measure(column) if soundfont else None
    assert reference is not None
    where, values = [], []
    for point in points:
        measure = point.measure(column)
        if measure is None or measure.value is None:
            continue
        verdict = judge(measure, reference, perfect.value if perfect else None)
        where.append(point.evaluations)
        values.append(measure.value)
        if verdict.interval is not None and point is not curve.reference_point:
            assert reference.value is not None
            ends = [reference.value + end for end in (verdict.interval.low, verdict.interval.high)]
            axes.plot([point.evaluations] * 2, ends, color=color, linewidth=1, alpha=0.6)
        axes.plot(
            point.evaluations,
            measure.value,
            marker=marker,
            color=color,
            markersize=5.5,
            markerfacecolor=color if verdict.passes else "white",
            linestyle="none",
            zorder=4,
        )
    # Only for the line and the legend; marks are drawn above, because they differ.
    axes.plot(where, values, color=color, linewidth=1.4, zorder=3)
    axes.plot([], [], color=color, marker=marker, linewidth=1.4, label=name)


def _lines(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Returns the points of the teacher and of each student by name, in order of evaluations."""
    lines: dict[str, list[Point]] = {}
    for point in points:
        if point.role in ("teacher", "late", "student"):
            role = "student" if point.role == "student" else "teacher"
            label = point.name if point.name.startswith(role) else f"{point.name} ({role})"
            lines.setdefault(label, []).append(point)
    return {
        name: sorted(line, key=lambda point: point.evaluations or 0) for name, line in lines.items()
    }


def _cycle(count: int) -> list[tuple[str, str]]:
    return [_STYLES[number % len(_STYLES)] for number in range(count)]
