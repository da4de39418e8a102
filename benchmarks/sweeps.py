"""Sweeps over samplers, steps, guidance and drift, with a table and a plot each.

    python benchmarks/sweeps.py steps guidance drift --model runs/a --data_dir data --out out/sweeps

draws the pieces of a prepared corpus (by default the twenty that are held back, see
examples/held_back) under many settings and compares with the recordings:

    steps     every sampler with ever more steps
    guidance  guidance weights
    drift     minutes of music, pieces joined end to end, with context and without it
    settings  all steps with all guidance weights, for one sampler
    models    one setting, several models: --model A --model B

`log_mel_l1` is the mean absolute difference of unscaled log-mel spectrograms, before any inverter;
`aligned_l1` the same once they are equally loud, piece by piece; `onset_f1` how well the notes are
recognised in the inverted audio, if basic-pitch is installed. The sweep of settings also says by
how much pieces differ from the same pieces at --sampler_steps and --guidance: on average, and
where the average of other such pieces would lie 95 times of 100 (bootstrap).
What has been measured is kept in OUT/cells, so that the same command goes on where it was stopped.
--pieces and --seconds make it short enough for a small machine.
"""

import argparse
import csv
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sweep_measures import (
    Cell,
    Model,
    Piece,
    Transcriber,
    join,
    measure,
    measure_recordings,
    open_pieces,
)
from sweep_plots import PLOTS

from spectrodiff.commands import program
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.files import atomic_file, check_writable
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.evaluation.checksums import json_checksum
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
# Further columns of the sweep of settings.
DIFFERENCES = {"aligned_l1": "aligned_l1_change", "onset_f1": "onset_f1_change"}
# Medleys begin so many pieces apart.
MEDLEY_SHIFT = 7
REPLICATES = 2000


def main(arguments: Sequence[str]) -> None:
    flags = parse_flags(arguments)
    check_writable(flags.out)
    enable_compilation_cache()
    transcriber = Transcriber.find(flags.transcriber)
    load = functools.cache(lambda name: Model.load(name, flags.batch_size, flags.seed))
    pieces = open_pieces(flags.data_dir, flags.dataset, flags.split, flags.pieces)
    for sweep in flags.sweeps:
        music = medleys(pieces, flags) if sweep == "drift" else shortened(pieces, flags.seconds)
        rows = [recording_row(music, transcriber, flags.out)]
        seconds = sum(len(piece.audio) for piece in music) / SAMPLE_RATE
        print(f"\n{sweep}, measured on {seconds:.0f} s of music", flush=True)
        columns = (*COLUMNS, *DIFFERENCES.values()) if sweep == "settings" else COLUMNS
        print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
        print_row(rows[0], columns)
        compared: dict[str, list[dict[str, Any]]] = {}
        for cell in cells_of(sweep, flags):
            model = load(cell.model)
            if not (cell.context or model.has_context):
                continue
            key = {**dataclasses.asdict(cell), "model": model.checksum, "seed": flags.seed}
            path = cell_path(flags.out, key, music, transcriber)
            if not path.is_file():
                write_json(path, measure(model, cell, music, transcriber))
            measured = json.loads(path.read_text())
            rows.append(summary(cell, measured))
            if sweep == "settings":
                # A model's first cell is the one that its others are compared with.
                rows[-1].update(differences(measured, compared.setdefault(cell.model, measured)))
            print_row(rows[-1], columns)
        write_csv(flags.out / f"{sweep}.csv", rows, columns)
        PLOTS[sweep](rows, flags.out / f"{sweep}.png")


def cells_of(sweep: str, flags: argparse.Namespace) -> Iterator[Cell]:
    """The settings of a sweep."""
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
        elif sweep == "drift":
            yield cell
            yield dataclasses.replace(cell, context=False)
        else:
            yield cell


def shortened(pieces: Sequence[Piece], seconds: float | None) -> list[Piece]:
    return [piece.beginning(seconds) if seconds else piece for piece in pieces]


def medleys(pieces: Sequence[Piece], flags: argparse.Namespace) -> list[Piece]:
    """Minutes of music, made of the pieces in several orders."""
    return [
        join(pieces, MEDLEY_SHIFT * number, 60 * flags.minutes) for number in range(flags.medleys)
    ]


def cell_path(
    out: Path, key: dict[str, Any], music: Sequence[Piece], transcriber: Transcriber | None
) -> Path:
    """Path of a measurement; its name changes with everything that could change the result."""
    heard = [piece.checksum for piece in music]
    measures = {"measures": 2, "transcribed": transcriber is not None}
    named = json_checksum({**key, **measures, "music": heard})
    return out / "cells" / f"{named}.json"


def recording_row(
    music: Sequence[Piece], transcriber: Transcriber | None, out: Path
) -> dict[str, Any]:
    """The recordings themselves: what a perfect model would get."""
    path = cell_path(out, {}, music, transcriber)
    if not path.is_file():
        write_json(path, measure_recordings(music, transcriber))
    f1 = [piece["onset_f1"] for piece in json.loads(path.read_text())]
    return {"model": "recordings", "log_mel_l1": 0.0, "aligned_l1": 0.0, "onset_f1": mean(f1)}


def summary(cell: Cell, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table: means over pieces; `l1_by_time` is what plots draw besides."""
    slopes = []
    for piece in measured:
        l1, minutes = piece["l1_by_segment"], np.array(piece["segment_seconds"]) / 60
        # In less than a minute the music itself changes more than the model drifts.
        slopes.append(float(np.polyfit(minutes, l1, 1)[0]) if minutes[-1] > 1 else None)
    return {
        **dataclasses.asdict(cell),
        "log_mel_l1": mean([piece["log_mel_l1"] for piece in measured]),
        "aligned_l1": mean([piece["aligned_l1"] for piece in measured]),
        "l1_per_minute": mean(slopes),
        "onset_f1": mean([piece["onset_f1"] for piece in measured]),
        "l1_by_time": [(piece["segment_seconds"], piece["l1_by_segment"]) for piece in measured],
    }


def differences(
    measured: Sequence[dict[str, Any]], compared_with: Sequence[dict[str, Any]]
) -> dict[str, str]:
    """Mean difference of the same pieces and its interval, as text; none of what is missing."""
    texts = {}
    for name, column in DIFFERENCES.items():
        pairs = [(a[name], b[name]) for a, b in zip(measured, compared_with, strict=True)]
        if any(None in pair for pair in pairs):
            continue
        changes = [ours - theirs for ours, theirs in pairs]
        interval = bootstrap_mean(changes, replicates=REPLICATES)
        between = f" ({interval.low:+.3f} to {interval.high:+.3f})" if interval else ""
        texts[column] = f"{np.mean(changes):+.3f}{between}"
    return texts


def mean(values: Sequence[float | None]) -> float | None:
    """None if any is missing."""
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


def write_json(path: Path, content: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content))


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("sweeps", nargs="+", choices=PLOTS, metavar="SWEEP", help=", ".join(PLOTS))
    add("--model", action="append", required=True, help="what sample.py takes; may be given again")
    add("--data_dir", type=Path, default=Path("data"), help="where the corpus was prepared")
    add("--dataset", default="soundfont/held_back", help="default: %(default)s")
    add("--split", default="test")
    add("--out", type=Path, default=Path("out/sweeps"), help="default: %(default)s")
    add("--pieces", type=int, help="measure so many pieces, evenly from all (default: all)")
    add("--seconds", type=float, help="and of each only the beginning")
    add("--transcriber", choices=("auto", "none"), default="auto")
    add("--seed", type=int, default=0)
    add("--batch_size", type=int, default=8, help="pieces drawn side by side")

    varied = parser.add_argument_group("what is varied")
    add = varied.add_argument
    add("--samplers", nargs="+", default=["ddpm", "ddim", "dpmpp"])
    add("--steps", type=int, nargs="+", default=[5, 10, 20, 50, 100, 200, 500, 1000])
    add("--weights", type=float, nargs="+", default=[1, 1.5, 2, 3, 4, 5], help="of guidance")
    add("--minutes", type=float, default=3.0, help="length of a medley, to hear drift")
    add("--medleys", type=int, default=2)

    fixed = parser.add_argument_group("what else is kept")
    add = fixed.add_argument
    add("--sampler", default="dpmpp")
    add("--sampler_steps", type=int, default=50)
    add("--guidance", type=float, default=2.0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(program.run(main))
