"""Plots of a report as SVG inside the page, so that their colours follow its style.

Everything is drawn in the units of the viewBox, which is `WIDTH` wide. A row has the class
"row-0", "row-1" and so on, and a mark of its own shape, so that rows can be told without colour.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

from spectrodiff.report.formatting import column_decimals, format_number, ticks
from spectrodiff.report.scores import Corpus, Metric, Row

WIDTH = 360
_HEIGHT = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 12, 10, 34
_LANE = 38
_MAX_MARKS = 200

Point = tuple[float, float]


def minutes_plot(corpus: Corpus, metric: Metric, rows: Sequence[Row]) -> str | None:
    """Mean score of each minute over the songs that have this minute, a line per row.

    Returns:
        An <svg> element, or None if no song has scores of two minutes.
    """
    lines = {row.name: _minute_means(corpus, row.name, metric.name) for row in rows}
    lines = {name: points for name, points in lines.items() if points}
    last_minute = max((points[-1][0] for points in lines.values()), default=0)
    if last_minute < 2:
        return None
    values = [mean for points in lines.values() for _, mean, _ in points]
    # From zero, where every distance and every F1 begins: else a small drift looks like a large.
    low, high = min(0.0, *values), max(0.0, *values) * 1.08 or 1.0
    x = _scale(1, last_minute, _LEFT + 6, WIDTH - _RIGHT - 6)
    y = _scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = _horizontal_grid(y, low, high)
    parts += _x_labels(x, [float(k) for k in range(1, last_minute + 1)], 0, _HEIGHT, "minute")
    decimals = column_decimals(values)
    for number, row in enumerate(rows):
        points = lines.get(row.name, [])
        path = " ".join(f"{x(minute):.1f},{y(mean):.1f}" for minute, mean, _ in points)
        if points:
            parts.append(f'<polyline class="line row-{number}" points="{path}"/>')
        for minute, mean, songs in points:
            note = f"{row.title}, minute {minute}: {format_number(mean, decimals)}, {songs} songs"
            parts.append(_mark(number, (x(minute), y(mean)), note))
    return _svg(f"{metric.title} of each minute, {corpus.title}", _HEIGHT, parts)


def songs_plot(corpus: Corpus, metric: Metric, rows: Sequence[Row]) -> str | None:
    """Scores of songs, a lane of marks per row with a line at the median of all.

    Of very many songs every second, third, ... one has a mark.

    Returns:
        An <svg> element, or None if fewer than two songs have this score.
    """
    scores = {row.name: song_scores(corpus, row.name, metric.name) for row in rows}
    drawn = [(number, row) for number, row in enumerate(rows) if scores[row.name]]
    values = [value for per_song in scores.values() for _, value in per_song]
    if max(map(len, scores.values()), default=0) < 2:
        return None
    low, high = min(0.0, *values), max(0.0, *values) * 1.05 or 1.0
    height = _TOP + _LANE * len(drawn) + _BOTTOM
    x = _scale(low, high, _LEFT - 30, WIDTH - _RIGHT - 6)
    decimals = column_decimals(values)
    parts = []
    for tick in ticks(low, high):
        at = x(tick)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"/>'
        )
    parts += _x_labels(x, ticks(low, high), _tick_decimals(low, high), height, metric.title)
    for lane, (number, row) in enumerate(drawn):
        middle = _TOP + _LANE * (lane + 0.5)
        per_song = scores[row.name]
        shown = per_song[:: -(-len(per_song) // _MAX_MARKS)]
        for (song, value), up in zip(shown, _spread(len(shown)), strict=True):
            note = f"{song}, {row.title}: {format_number(value, decimals)}"
            parts.append(_mark(number, (x(value), middle + up * _LANE * 0.3), note, "faint "))
        median = x(float(np.median([value for _, value in per_song])))
        parts.append(
            f'<line class="median row-{number}" x1="{median:.1f}" x2="{median:.1f}" '
            f'y1="{middle - _LANE * 0.42:.1f}" y2="{middle + _LANE * 0.42:.1f}"/>'
        )
    return _svg(f"{metric.title} of all songs, {corpus.title}", height, parts)


def mark_svg(number: int) -> str:
    """The mark of a row alone, for a legend."""
    return f'<svg class="key" viewBox="-6 -6 12 12" aria-hidden="true">{_shape(number, 0, 0)}</svg>'


def song_scores(corpus: Corpus, row: str, metric: str) -> list[tuple[str, float]]:
    """Names and scores of the songs that have this score, in the corpus' order."""
    found = []
    for song in corpus.per_song:
        value = song.scores.get(row, {}).get(metric)
        if value is not None:
            found.append((song.name, value))
    return found


def _minute_means(corpus: Corpus, row: str, metric: str) -> list[tuple[int, float, int]]:
    """Minute, counted from 1, mean score and number of songs, for the minutes that have any."""
    per_song = [song.minutes.get(row, {}).get(metric, ()) for song in corpus.per_song]
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
    """Heights in [-1, 1] for marks that lie beside one another, the same at every writing."""
    # Multiples of the golden ratio fill the range evenly, however many there are.
    return 2 * ((np.arange(count) * 0.618034 + 0.5) % 1) - 1


def _mark(number: int, at: Point, note: str, more: str = "") -> str:
    return f'<g class="{more}mark">{_shape(number, *at)}<title>{escape(note)}</title></g>'


def _shape(number: int, x: float, y: float) -> str:
    kind = f'class="row-{number}"'
    if number % 3 == 0:
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'
    if number % 3 == 1:
        return f'<rect {kind} x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
    corners = f"{x:.1f},{y - 4:.1f} {x + 4:.1f},{y + 3:.1f} {x - 4:.1f},{y + 3:.1f}"
    return f'<polygon {kind} points="{corners}"/>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def plots(
    corpus: Corpus, metrics: Sequence[Metric], rows: Sequence[Row]
) -> Mapping[str, list[tuple[Metric, str]]]:
    """All plots of a corpus: "minutes" and "songs", each a list of metrics and <svg> elements."""
    kinds = {"minutes": minutes_plot, "songs": songs_plot}
    found: dict[str, list[tuple[Metric, str]]] = {}
    for kind, draw in kinds.items():
        drawn = [(metric, draw(corpus, metric, rows)) for metric in metrics]
        found[kind] = [(metric, svg) for metric, svg in drawn if svg is not None]
    return found
