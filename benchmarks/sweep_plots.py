"""Plots of sweeps.py."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spectrodiff.core.files import atomic_file

Row = dict[str, Any]
MEASURES = {
    "log_mel_l1": "log-mel L1 (lower is better)",
    "aligned_l1": "log-mel L1, levels aligned",
    "onset_f1": "onset F1 (higher is better)",
}
DRIFT_BIN_SECONDS = 15.0


def plot_steps(rows: Sequence[Row], path: Path) -> None:
    """Plots all measures by the number of steps, with a line per sampler."""
    _curves(rows, path, "steps", by=("model", "sampler"), scale="log")


def plot_guidance(rows: Sequence[Row], path: Path) -> None:
    """Plots all measures by the guidance weight."""
    _curves(rows, path, "guidance", by=("model",))


def plot_settings(rows: Sequence[Row], path: Path) -> None:
    """Plots all measures by the number of steps, with a line per guidance weight."""
    _curves(rows, path, "steps", by=("model", "guidance"), scale="log")


def plot_free(rows: Sequence[Row], path: Path) -> None:
    """Plots all measures by the evaluations per segment, with a line per kind of setting."""
    kinds = [{**row, "kind": re.sub(r"\d+ (steps, )?", "", row.get("setting", ""))} for row in rows]
    _curves(kinds, path, "evaluations", by=("model", "kind"))


def plot_models(rows: Sequence[Row], path: Path) -> None:
    """Plots all measures with a bar per model."""
    recordings, *models = rows
    figure, panels = _panels(rows)
    for axes, measure in panels:
        names = [row["model"] for row in models]
        axes.bar(range(len(names)), [row[measure] for row in models])
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
        _draw_recordings(axes, recordings, measure)
    _save(figure, path)


def plot_drift(rows: Sequence[Row], path: Path) -> None:
    """Plots the log-mel L1 by the time in the song, with and without context."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for row in rows[1:]:
        seconds, l1 = along_time(row["l1_by_time"])
        label = f"{row['model']}, {'with' if row['context'] else 'without'} context"
        axes.plot(seconds, l1, marker="o", label=label)
    axes.set_xlabel(f"time in the song (s), in bins of {DRIFT_BIN_SECONDS:g} s")
    axes.set_ylabel(MEASURES["log_mel_l1"])
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


PLOTS: dict[str, Callable[[Sequence[Row], Path], None]] = {
    "free": plot_free,
    "steps": plot_steps,
    "guidance": plot_guidance,
    "drift": plot_drift,
    "settings": plot_settings,
    "models": plot_models,
}


def along_time(songs: Iterable[tuple[list[float], list[float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the middle of each bin of time in seconds, and the mean over all segments in it.

    Args:
        songs: times of the segments of each song in seconds, and their values.
    """
    seconds, values = (np.concatenate(column) for column in zip(*songs, strict=True))
    bins, place = np.unique(np.floor_divide(seconds, DRIFT_BIN_SECONDS), return_inverse=True)
    means = np.bincount(place, values) / np.bincount(place)
    return (bins + 0.5) * DRIFT_BIN_SECONDS, means


def _curves(
    rows: Sequence[Row],
    path: Path,
    x: str,
    *,
    by: tuple[str, ...],
    scale: str = "linear",
) -> None:
    """Plots all measures with a line for each combination of the settings in `by`."""
    recordings, *cells = rows
    lines = dict.fromkeys(tuple(row[name] for name in by) for row in cells)
    figure, panels = _panels(rows)
    for axes, measure in panels:
        for line in lines:
            chosen = [row for row in cells if tuple(row[name] for name in by) == line]
            chosen.sort(key=lambda row: row[x])
            axes.plot(
                [row[x] for row in chosen],
                [row[measure] for row in chosen],
                marker="o",
                label=", ".join(map(str, line)),
            )
        _draw_recordings(axes, recordings, measure)
        axes.set_xscale(scale)
        ticks = sorted({row[x] for row in cells})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel({"guidance": "guidance weight w"}.get(x, x))
        axes.legend()
    _save(figure, path)


def _panels(rows: Sequence[Row]) -> tuple[Figure, list[tuple[Any, str]]]:
    """Returns a figure, and axes for each measure that all rows have."""
    measures = [name for name in MEASURES if all(row.get(name) is not None for row in rows)]
    figure = Figure(figsize=(5.5 * len(measures), 3.8), layout="constrained")
    all_axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(all_axes, measures, strict=True):
        axes.set_ylabel(MEASURES[measure])
        axes.grid(alpha=0.3)
    return figure, list(zip(all_axes, measures, strict=True))


def _draw_recordings(axes: Any, recordings: Row, measure: str) -> None:
    if measure == "onset_f1":
        axes.axhline(recordings[measure], color="0.4", linestyle="--", label="recordings")
        axes.set_ylim(0, 1)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=110)
