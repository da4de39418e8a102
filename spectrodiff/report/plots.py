"""Plots of a report as SVG inside the page, so that their colors follow its style.

Coordinates are in units of the viewBox, which is `WIDTH` wide. Each row has a class, which sets its
color, and a shape of its marks, so that rows can be distinguished without color.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.results import CorpusResults, ResultRow
from spectrodiff.report.formatting import format_number, ticks
from spectrodiff.report.rows import RowStyle, row_styles

WIDTH = 360
_HEIGHT = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 12, 10, 34
_LANE = 38
_MAX_MARKS = 200

Point = tuple[float, float]


def minutes_plot(
    corpus: CorpusResults, column: Column, rows: Sequence[ResultRow], decimals: int
) -> str | None:
    """Plots the mean score of each minute over the songs that have this minute, a line per row.

    Args:
        corpus: results of the corpus.
        column: column to plot.
        rows: rows to plot.
        decimals: decimals of the scores, which are shown when a mark is pointed at.

    Returns:
        An <svg> element, or None if no song has scores of two minutes.
    """
    lines = {row.name: _minute_means(corpus, row.name, column.name) for row in rows}
    lines = {name: points for name, points in lines.items() if points}
    last_minute = max((points[-1][0] for points in lines.values()), default=0)
    if last_minute < 2:
        return None
    values = [mean for points in lines.values() for _, mean, _ in points]
    # Axes include zero, the minimum of all distances and F1: otherwise a small drift looks large.
    low, high = min(0.0, *values), max(0.0, *values) * 1.08 or 1.0
    x = _scale(1, last_minute, _LEFT + 6, WIDTH - _RIGHT - 6)
    y = _scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = _horizontal_grid(y, low, high)
    parts += _x_labels(x, [float(k) for k in range(1, last_minute + 1)], 0, _HEIGHT, "minute")
    for style, row in zip(row_styles(rows), rows, strict=True):
        points = lines.get(row.name, [])
        path = " ".join(f"{x(minute):.1f},{y(mean):.1f}" for minute, mean, _ in points)
        if points:
            parts.append(f'<polyline class="line {style.css_class}" points="{path}"/>')
        for minute, mean, songs in points:
            note = f"{row.title}, minute {minute}: {format_number(mean, decimals)}, {songs} songs"
            parts.append(_mark(style, (x(minute), y(mean)), note))
    return _svg(f"{column.title} of each minute, {corpus.title}", _HEIGHT, parts)


def songs_plot(
    corpus: CorpusResults, column: Column, rows: Sequence[ResultRow], decimals: int
) -> str | None:
    """Plots the scores of songs, a lane of marks per row with a line at the median.

    With more than 200 songs only every second, third, ... song has a mark. The arguments are those
    of `minutes_plot`.

    Returns:
        An <svg> element, or None if fewer than two songs have this score.
    """
    scores = {row.name: song_scores(corpus, row.name, column.name) for row in rows}
    styled = zip(row_styles(rows), rows, strict=True)
    drawn = [(style, row) for style, row in styled if scores[row.name]]
    values = [value for per_song in scores.values() for _, value in per_song]
    if max(map(len, scores.values()), default=0) < 2:
        return None
    low, high = min(0.0, *values), max(0.0, *values) * 1.05 or 1.0
    height = _TOP + _LANE * len(drawn) + _BOTTOM
    x = _scale(low, high, _LEFT - 30, WIDTH - _RIGHT - 6)
    parts = []
    for tick in ticks(low, high):
        at = x(tick)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"/>'
        )
    parts += _x_labels(x, ticks(low, high), _tick_decimals(low, high), height, column.title)
    for lane, (style, row) in enumerate(drawn):
        middle = _TOP + _LANE * (lane + 0.5)
        per_song = scores[row.name]
        shown = per_song[:: -(-len(per_song) // _MAX_MARKS)]
        for (song, value), up in zip(shown, _spread(len(shown)), strict=True):
            note = f"{song}, {row.title}: {format_number(value, decimals)}"
            parts.append(_mark(style, (x(value), middle + up * _LANE * 0.3), note, "faint "))
        median = x(float(np.median([value for _, value in per_song])))
        parts.append(
            f'<line class="median {style.css_class}" x1="{median:.1f}" x2="{median:.1f}" '
            f'y1="{middle - _LANE * 0.42:.1f}" y2="{middle + _LANE * 0.42:.1f}"/>'
        )
    return _svg(f"{column.title} of all songs, {corpus.title}", height, parts)


def mark_svg(style: RowStyle) -> str:
    """Returns the mark of a row, for a legend."""
    return f'<svg class="key" viewBox="-6 -6 12 12" aria-hidden="true">{_shape(style, 0, 0)}</svg>'


def song_scores(corpus: CorpusResults, row: str, column: str) -> list[tuple[str, float]]:
    """Returns names and scores of the songs that have this score, in the order of the corpus."""
    found = []
    for song in corpus.per_song:
        value = song.scores.get(row, {}).get(column)
        if value is not None:
            found.append((song.name, value))
    return found


def _minute_means(corpus: CorpusResults, row: str, column: str) -> list[tuple[int, float, int]]:
    """Returns minute (from 1), mean score and number of songs, of the minutes with scores."""
    per_song = [song.minutes.get(row, {}).get(column, ()) for song in corpus.per_song]
    means = []
    for index in range(max(map(len, per_song), default=0)):
        values = [minutes[index] for minutes in per_song if index < len(minutes)]
        known = [value for value in values if value is not None]
        if known:
            means.append((index + 1, float(np.mean(known)), len(known)))
    return means


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _horizontal_grid(y: Callable[[float], float], low: float, high: float) -> list[str]:
    parts = []
    for tick in ticks(low, high):
        at = y(tick)
        label = format_number(tick, _tick_decimals(low, high))
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>'
        )
    return parts


def _x_labels(
    x: Callable[[float], float], values: Sequence[float], decimals: int, height: float, title: str
) -> list[str]:
    parts = [
        f'<text x="{x(value):.1f}" y="{height - _BOTTOM + 15:.1f}" text-anchor="middle">'
        f"{format_number(value, decimals)}</text>"
        for value in values
    ]
    parts.append(
        f'<text class="axis" x="{WIDTH - _RIGHT}" y="{height - 3:.1f}" text-anchor="end">'
        f"{escape(title)}</text>"
    )
    return parts


def _tick_decimals(low: float, high: float) -> int:
    steps = ticks(low, high)
    return next(
        (d for d in range(6) if all(abs(tick - round(tick, d)) < 1e-9 for tick in steps)), 6
    )


def _spread(count: int) -> np.ndarray:
    """Returns heights in [-1, 1] that keep neighboring marks apart, always the same ones."""
    # Multiples of the golden ratio fill the range evenly for any number of marks.
    return 2 * ((np.arange(count) * 0.618034 + 0.5) % 1) - 1


def _mark(style: RowStyle, at: Point, note: str, more: str = "") -> str:
    return f'<g class="{more}mark">{_shape(style, *at)}<title>{escape(note)}</title></g>'


def _shape(style: RowStyle, x: float, y: float) -> str:
    """Returns a filled circle, square or triangle; for references a diamond, plus or cross."""
    kind = f'class="{style.css_class}"'
    if style.reference:
        strokes = (
            "M0 -4.2L4.2 0L0 4.2L-4.2 0Z",
            "M-4 0H4M0 -4V4",
            "M-3.2 -3.2L3.2 3.2M-3.2 3.2L3.2 -3.2",
        )
        path = strokes[style.shape]
        return f'<path {kind} transform="translate({x:.1f} {y:.1f})" d="{path}"/>'
    if style.shape == 0:
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'
    if style.shape == 1:
        return f'<rect {kind} x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
    corners = f"{x:.1f},{y - 4:.1f} {x + 4:.1f},{y + 3:.1f} {x - 4:.1f},{y + 3:.1f}"
    return f'<polygon {kind} points="{corners}"/>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def corpus_plots(
    corpus: CorpusResults,
    columns: Sequence[Column],
    rows: Sequence[ResultRow],
    decimals: Mapping[str, int],
) -> Mapping[str, list[tuple[Column, str]]]:
    """Returns all plots of a corpus: "minutes" and "songs", with a column and <svg> per plot."""
    kinds = {"minutes": minutes_plot, "songs": songs_plot}
    found: dict[str, list[tuple[Column, str]]] = {}
    for kind, plot in kinds.items():
        plots = [(column, plot(corpus, column, rows, decimals[column.name])) for column in columns]
        found[kind] = [(column, svg) for column, svg in plots if svg is not None]
    return found
