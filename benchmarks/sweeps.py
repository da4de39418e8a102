"""Sweeps of samplers, steps, guidance and context, with a table and a plot each.

    python benchmarks/sweeps.py steps guidance drift --model runs/a --data_dir data --out out/sweeps

generates the songs of a prepared corpus (by default the twenty held-back songs, see
examples/held_back) with many settings and compares them with the recordings:

    steps     numbers of steps, for each sampler
    guidance  guidance weights
    drift     medleys of several minutes, with and without context
    settings  all numbers of steps with all guidance weights, for one sampler
    models    one setting, several models: --model A --model B
    free      settings of equal cost, for numbers of network evaluations per segment: spacing and
              times of steps (--times), their start, guidance in a part of them, and weights of the
              context

`log_mel_l1` is the mean absolute difference of unscaled log-mel spectrograms, without an inverter;
`aligned_l1` is the same after aligning the level of each song; `onset_f1` is the score of notes
transcribed from the inverted audio, if basic-pitch is installed; `joins` is the change between
segments relative to that inside them. The sweeps of settings and of free ones also give the mean
difference to the same songs at --sampler_steps and --guidance, or with the plain setting of equal
cost, with its 95 % bootstrap confidence interval. Measurements are stored in OUT/cells, so that the
same command resumes a stopped sweep. --pieces and --seconds reduce the time.
"""

import argparse
import csv
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sweep_measures import (
    Cell,
    Model,
    SweepSong,
    Transcriber,
    join,
    measure,
    measure_recordings,
    open_songs,
)
from sweep_plots import PLOTS

from spectrodiff.commands import program
from spectrodiff.core.checksums import json_checksum
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.files import atomic_file, check_writable
from spectrodiff.core.json_files import write_json
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.evaluation.metrics.uncertainty import bootstrap_mean

COLUMNS = (
    "model",
    "sampler",
    "steps",
    "guidance",
    "context",
    "log_mel_l1",
    "aligned_l1",
    "l1_per_minute",
    "onset_f1",
)
# Further columns of the sweeps of settings and of free ones.
DIFFERENCES = {"aligned_l1": "aligned_l1_change", "onset_f1": "onset_f1_change"}
FREE_COLUMNS = ("model", "evaluations", "setting", "aligned_l1", "onset_f1", "joins")
FREE_DIFFERENCES = {**DIFFERENCES, "joins": "joins_change"}
# Start of the sweep of free settings, and its weights of the context relative to the notes'.
LATE_START = 0.96
CONTEXT_WEIGHTS = (0.5, 1.5)
# Share of the evaluations that are the second of a step, where a part of the steps is guided.
GUIDED_SHARE = 0.3
# Distance of the first songs of medleys.
MEDLEY_SHIFT = 7
REPLICATES = 2000


def main(arguments: Sequence[str]) -> None:
    flags = parse_flags(arguments)
    check_writable(flags.out)
    enable_compilation_cache()
    transcriber = Transcriber.find(flags.transcriber)
    load = functools.cache(lambda name: Model.load(name, flags.batch_size, flags.seed))
    songs = open_songs(flags.data_dir, flags.dataset, flags.split, flags.pieces)
    for sweep in flags.sweeps:
        music = medleys(songs, flags) if sweep == "drift" else shortened(songs, flags.seconds)
        segment_frames = load(flags.model[0]).checkpoint.config.target_frames
        rows = [recording_row(music, transcriber, segment_frames, flags.out)]
        seconds = sum(len(song.audio) for song in music) / SAMPLE_RATE
        print(f"\n{sweep}, measured on {seconds:.0f} s of music", flush=True)
        columns, changes = columns_of(sweep)
        print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
        print_row(rows[0], columns)
        compared: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for cell in cells_of(sweep, flags):
            model = load(cell.model)
            if not (cell.context or model.has_context):
                continue
            key = {**cell.key, "model": model.checksum, "seed": flags.seed}
            path = cell_path(flags.out, key, music, transcriber)
            if not path.is_file():
                write_json(path, measure(model, cell, music, transcriber))
            measured = json.loads(path.read_text())
            rows.append(summary(cell, measured))
            if changes:
                # The first cell of a model, and of a cost, is what the others are compared with.
                alike = cell.model, cell.sampling.evaluations if sweep == "free" else 0
                first = compared.setdefault(alike, measured)
                rows[-1].update(differences(measured, first, changes))
            print_row(rows[-1], columns)
        write_csv(flags.out / f"{sweep}.csv", rows, columns)
        PLOTS[sweep](rows, flags.out / f"{sweep}.png")


def cells_of(sweep: str, flags: argparse.Namespace) -> Iterator[Cell]:
    """Yields the settings of a sweep."""
    for name in flags.model:
        cell = Cell(name, flags.sampler, flags.sampler_steps, flags.guidance)
        if sweep == "steps":
            for sampler in flags.samplers:
                for steps in flags.steps:
                    yield dataclasses.replace(cell, sampler=sampler, steps=steps)
        elif sweep == "guidance":
            for weight in flags.weights:
                yield dataclasses.replace(cell, guidance=weight)
        elif sweep == "settings":
            yield cell
            for weight in flags.weights:
                for steps in flags.steps:
                    other = dataclasses.replace(cell, steps=steps, guidance=weight)
                    if other != cell:
                        yield other
        elif sweep == "free":
            for evaluations in flags.evaluations:
                yield from free_cells(cell, evaluations, flags.times)
        elif sweep == "drift":
            yield cell
            yield dataclasses.replace(cell, context=False)
        else:
            yield cell


def columns_of(sweep: str) -> tuple[Sequence[str], dict[str, str]]:
    """Returns the columns of a sweep, and those of differences by what differs."""
    if sweep == "free":
        return (*FREE_COLUMNS, *FREE_DIFFERENCES.values()), FREE_DIFFERENCES
    if sweep == "settings":
        return (*COLUMNS, *DIFFERENCES.values()), DIFFERENCES
    return COLUMNS, {}


def free_cells(cell: Cell, evaluations: int, fitted: Path | None) -> Iterator[Cell]:
    """Yields settings that cost an even number of evaluations per segment, the plain one first.

    Args:
        cell: model, sampler and guidance weight.
        evaluations: per segment.
        fitted: result of fit_times.py, or None.
    """
    steps = evaluations // 2
    plain = dataclasses.replace(cell, steps=steps, setting="plain")
    yield plain
    yield dataclasses.replace(plain, spacing="logsnr", setting="spacing logsnr")
    yield dataclasses.replace(plain, start=LATE_START, setting=f"start {LATE_START:g}")
    times = json.loads(fitted.read_text()) if fitted is not None else {}
    if str(steps) in times:
        yield dataclasses.replace(plain, times=tuple(times[str(steps)]), setting="fitted times")
    guided = max(1, round(GUIDED_SHARE * evaluations))
    steps = evaluations - guided
    partly = dataclasses.replace(cell, steps=steps)
    for where, first in (("first", 0), ("middle", (steps - guided) // 2), ("last", steps - guided)):
        ends = ((steps - first - guided + 1) / steps, (steps - first) / steps)
        setting = f"{steps} steps, {where} {guided} guided"
        yield dataclasses.replace(partly, guidance_times=ends, setting=setting)
    yield dataclasses.replace(cell, steps=evaluations, guidance=1.0, setting="unguided")
    if evaluations % 3 == 0:
        for relative in CONTEXT_WEIGHTS:
            weight = relative * cell.guidance
            yield dataclasses.replace(
                cell,
                steps=evaluations // 3,
                context_guidance=weight,
                setting=f"{evaluations // 3} steps, context {weight:g}",
            )


def shortened(songs: Sequence[SweepSong], seconds: float | None) -> list[SweepSong]:
    return [song.first_seconds(seconds) if seconds else song for song in songs]


def medleys(songs: Sequence[SweepSong], flags: argparse.Namespace) -> list[SweepSong]:
    """Returns medleys of the songs, which start with different songs."""
    return [
        join(songs, MEDLEY_SHIFT * number, 60 * flags.minutes) for number in range(flags.medleys)
    ]


def cell_path(
    out: Path, key: dict[str, Any], music: Sequence[SweepSong], transcriber: Transcriber | None
) -> Path:
    """Returns the file of a measurement, whose name depends on everything it depends on."""
    checksums = [song.checksum for song in music]
    measures = {"measures": 3, "transcribed": transcriber is not None}
    named = json_checksum({**key, **measures, "music": checksums})
    return out / "cells" / f"{named}.json"


def recording_row(
    music: Sequence[SweepSong], transcriber: Transcriber | None, segment_frames: int, out: Path
) -> dict[str, Any]:
    """Returns the row of the recordings themselves, the values of a perfect model."""
    path = cell_path(out, {"segment_frames": segment_frames}, music, transcriber)
    if not path.is_file():
        write_json(path, measure_recordings(music, transcriber, segment_frames))
    measured = json.loads(path.read_text())
    means = {name: mean([song[name] for song in measured]) for name in ("onset_f1", "joins")}
    return {"model": "recordings", "log_mel_l1": 0.0, "aligned_l1": 0.0, **means}


def summary(cell: Cell, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns a row of the table, means over songs, and `l1_by_time` for plots."""
    slopes = []
    for song in measured:
        l1, minutes = song["l1_by_segment"], np.array(song["segment_seconds"]) / 60
        # In less than a minute, changes of the music are larger than the drift.
        slopes.append(float(np.polyfit(minutes, l1, 1)[0]) if minutes[-1] > 1 else None)
    return {
        **dataclasses.asdict(cell),
        "evaluations": cell.sampling.evaluations,
        "joins": mean([song["joins"] for song in measured]),
        "log_mel_l1": mean([song["log_mel_l1"] for song in measured]),
        "aligned_l1": mean([song["aligned_l1"] for song in measured]),
        "l1_per_minute": mean(slopes),
        "onset_f1": mean([song["onset_f1"] for song in measured]),
        "l1_by_time": [(song["segment_seconds"], song["l1_by_segment"]) for song in measured],
    }


def differences(
    measured: Sequence[dict[str, Any]],
    compared_with: Sequence[dict[str, Any]],
    columns: Mapping[str, str] = DIFFERENCES,
) -> dict[str, str]:
    """Returns mean differences of the same songs, and intervals, as text; without missing ones."""
    texts = {}
    for name, column in columns.items():
        pairs = [(a[name], b[name]) for a, b in zip(measured, compared_with, strict=True)]
        if any(None in pair for pair in pairs):
            continue
        changes = [ours - theirs for ours, theirs in pairs]
        interval = bootstrap_mean(changes, replicates=REPLICATES)
        between = f" ({interval.low:+.3f} to {interval.high:+.3f})" if interval else ""
        texts[column] = f"{np.mean(changes):+.3f}{between}"
    return texts


def mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean, or None if a value is missing."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def print_row(row: dict[str, Any], columns: Sequence[str]) -> None:
    def text(value: Any) -> str:
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    print("| " + " | ".join(text(row.get(column)) for column in columns) + " |", flush=True)


def write_csv(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("sweeps", nargs="+", choices=PLOTS, metavar="SWEEP", help=", ".join(PLOTS))
    add(
        "--model",
        action="append",
        required=True,
        help="model as sample.py takes it; can be repeated",
    )
    add(
        "--data_dir",
        type=Path,
        default=Path("data"),
        help="folder of prepared corpora (default: data)",
    )
    add("--dataset", default="soundfont/held_back", help="corpus (default: %(default)s)")
    add("--split", default="test")
    add(
        "--out",
        type=Path,
        default=Path("out/sweeps"),
        help="folder of results (default: %(default)s)",
    )
    add("--pieces", type=int, help="number of songs, evenly spread (default: all)")
    add("--seconds", type=float, help="length of each song (default: the whole song)")
    add("--transcriber", choices=("auto", "none"), default="auto")
    add("--seed", type=int, default=0)
    add("--batch_size", type=int, default=8, help="number of songs generated in one batch")

    varied = parser.add_argument_group("settings that are varied")
    add = varied.add_argument
    add("--samplers", nargs="+", default=["ddpm", "ddim", "dpmpp"])
    add("--steps", type=int, nargs="+", default=[5, 10, 20, 50, 100, 200, 500, 1000])
    add("--weights", type=float, nargs="+", default=[1, 1.5, 2, 3, 4, 5], help="guidance weights")
    add("--minutes", type=float, default=3.0, help="length of a medley")
    add("--medleys", type=int, default=2, help="number of medleys")
    add(
        "--evaluations",
        type=int,
        nargs="+",
        default=[4, 6, 8, 10],
        help="even numbers of network evaluations per segment",
    )
    add("--times", type=Path, help="result of fit_times.py")

    fixed = parser.add_argument_group("settings of the other sweeps")
    add = fixed.add_argument
    add("--sampler", default="dpmpp")
    add("--sampler_steps", type=int, default=50)
    add("--guidance", type=float, default=2.0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(program.run(main))
