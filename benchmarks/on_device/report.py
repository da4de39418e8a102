"""Tables and plots of the results."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from on_device.results import Results, Row
from spectrodiff.core.files import atomic_file

REPORT_FILE = "accelerator.md"
SPEED_PLOT, FLOOR_PLOT = "speed.png", "floors.png"
# Error above which float32 products are computed as TF32, with 10 bits of each factor.
TF32_ERROR = 1e-5

Column = tuple[str, Callable[[Row], str]]


def number(value: float | None, scale: float = 1.0, digits: int = 3) -> str:
    """Formats a number with some significant digits, without an exponent if it is large."""
    if value is None:
        return ""
    value /= scale
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _setting(name: str) -> Column:
    return name.replace("_", " "), lambda row: str(getattr(row.settings, name))


def _measured(title: str, name: str, scale: float = 1.0) -> Column:
    return title, lambda row: number(getattr(row.measured, name), scale)


def _share(title: str, name: str) -> Column:
    return title, lambda row: share(getattr(row.measured, name))


def _peak() -> Column:
    return _measured("peak of the process, GiB", "peak_bytes", 2**30)


def _program() -> Column:
    return _measured("program, GiB", "program_bytes", 2**30)


def _floors(row: Row) -> str:
    found = row.measured
    return f"{number(found.flops_floor_seconds)}, {number(found.bytes_floor_seconds)}"


def _amounts(row: Row) -> str:
    return f"{number(row.measured.flops, 1e12)}, {number(row.measured.traffic_bytes, 1e12)}"


def _ceiling(row: Row) -> str:
    unit = "TFLOP/s" if row.settings.what == "matrices" else "TB/s, read and written"
    return f"{number(row.measured.per_second, 1e12)} {unit}"


TITLES = {
    "ceiling": "Ceilings",
    "sampling": "Sampling",
    "training": "Training",
    "determinism": "Determinism",
    "port": "The PyTorch port",
    "sound": "Inverter and features",
}
COLUMNS: dict[str, list[Column]] = {
    "ceiling": [
        _setting("what"),
        _setting("precision"),
        _setting("size"),
        ("measured", _ceiling),
    ],
    "sampling": [
        *(_setting(name) for name in ("size", "precision", "batch", "sampler", "steps")),
        _measured("s per batch", "seconds"),
        _measured("s of audio per s", "audio_seconds_per_second"),
        _measured("ms per step", "step_seconds", 1e-3),
        _measured("encoders, s", "encode_seconds"),
        ("TFLOP, TB", _amounts),
        ("floors of these, s", _floors),
        _share("larger floor / time", "share_of_floor"),
        _measured("steps timed", "steps_timed"),
        _measured("compile time, s", "compile_seconds"),
        _program(),
        _peak(),
    ],
    "training": [
        *(_setting(name) for name in ("size", "precision", "data")),
        ("batch", lambda row: str(row.measured.batch)),
        _measured("examples per s", "examples_per_second"),
        _measured("ms per step", "step_seconds", 1e-3),
        _measured("TFLOP per example", "flops_per_example", 1e12),
        _measured("model TFLOP/s", "flops_per_second", 1e12),
        _share("utilization", "utilization"),
        _measured("loader alone, examples per s", "loader_examples_per_second"),
        _share("waiting for data", "waiting_share"),
        _measured("compile time, s", "compile_seconds"),
        _program(),
        _peak(),
    ],
    "determinism": [
        *(_setting(name) for name in ("size", "precision", "batch", "steps")),
        ("bitwise", lambda row: "equal" if row.measured.equal else "different"),
        _measured("largest difference of parameters", "largest_parameter_difference"),
        _measured("of losses", "largest_loss_difference"),
        _measured("first loss", "first_loss"),
        _measured("last loss", "last_loss"),
    ],
    "port": [
        *(_setting(name) for name in ("size", "precision", "batch")),
        ("torch.compile", lambda row: "on" if row.settings.compiled else "off"),
        _measured("ms per guided step", "step_seconds", 1e-3),
        _measured("times ours", "ratio"),
        _measured("peak, GiB", "peak_bytes", 2**30),
    ],
    "sound": [
        *(_setting(name) for name in ("what", "batch", "frames")),
        _measured("ms", "seconds", 1e-3),
        _measured("s of audio per s", "audio_seconds_per_second"),
        _measured("compile time, s", "compile_seconds"),
        _program(),
    ],
}
NOTES = {
    "ceiling": "Products of square random matrices, and reading and writing of an array; medians "
    "of series of calls.",
    "sampling": "With guidance, 400 note tokens padded to the next bucket, full context, segments "
    "of 5.12 s (less in tiny runs). Operations are those of matrix products in traced programs. "
    "Bytes are those of parameters and cached keys and values once per step, and of activations "
    "once per layer (`counting.py`). Floors are these amounts divided by the measured ceilings. If "
    "fewer steps were timed than taken, the time is extrapolated. The compile time is the sum of "
    "two programs, which are compiled in parallel with those of other rows.",
    "training": "Whole steps: features, forward, backward, Adafactor; dropout 0.1, rbg random "
    "bits. Model operations are three times those of the matrix products of the forward pass "
    "without features; utilization is the fraction of the measured rate of matrix products. "
    "Waiting for data is the additional time of a step compared with one batch that stays on the "
    "device.",
    "determinism": "Two trainings from the same state, with one program in one process.",
    "port": "`T5FilmDecoder`, evaluated twice per step, notes padded to 2048, without encoders; "
    "float32 with TF32 enabled in torch. The ratio is to our steps of DDPM.",
    "sound": "Batches on the device; the inverter has random parameters.",
}


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Returns a Markdown table, without rows that were not measured."""
    lines = ["| " + " | ".join(title for title, _ in columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        if row.measured is not None:
            cells = [text(row) for _, text in columns]
            cells[-1] += " *" * row.compiling_beside
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_report(results: Results, folder: Path) -> None:
    """Writes the tables atomically."""
    with atomic_file(folder / REPORT_FILE) as temporary:
        temporary.write_text(report(results))


def report(results: Results) -> str:
    """Returns all tables, and the rows that were not measured with the reasons."""
    parts = [
        "# Measurements on an accelerator",
        _machine(results),
        f"```\n{_versions(results)}\n```",
    ]
    for kind, title in TITLES.items():
        rows = results.of(kind)
        if not rows:
            continue
        body = table(rows, COLUMNS[kind]) if results.measured(kind) else "Nothing measured."
        parts += [f"## {title}", NOTES[kind], body]
        remarks = [f"- {row.name}: {row.note}" for row in rows if row.measured and row.note]
        parts += ["\n".join(remarks)] if remarks else []
    if any(row.compiling_beside for row in results.rows if row.measured):
        parts.append("\\* measured while other programs were compiled.")
    missing = [row for row in results.rows if row.measured is None]
    if missing:
        lines = [
            f"- {row.name}: {row.status}" + f", {row.note}" * bool(row.note) for row in missing
        ]
        parts += ["## Not measured", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _machine(results: Results) -> str:
    machine = results.machine
    memory = f", {machine.memory_bytes / 2**30:.0f} GiB for JAX" if machine.memory_bytes else ""
    text = (
        f"{machine.device}{memory}, driver {machine.driver or 'unknown'}, {machine.cpu_cores} CPU "
        f"cores; started {machine.started}, {machine.minutes:g} minutes."
    )
    if machine.float32_error is None:
        return text
    kind = (
        "so float32 rows are TF32 here"
        if machine.float32_error > TF32_ERROR
        else "so float32 rows are float32 here"
    )
    return (
        f"{text}\n\nPrecision: at JAX's default, the largest error of a product of float32 "
        f"matrices is {machine.float32_error:.1e} of its largest entry, {kind}. In bfloat16 rows "
        "the matrices are bfloat16; sums, norms and the output are float32."
    )


def _versions(results: Results) -> str:
    return "\n".join(f"{name} {version}" for name, version in results.machine.versions.items())


def summary(results: Results) -> str:
    """Returns short tables for the terminal."""
    columns: dict[str, list[Column]] = {
        kind: [column for column in columns if column[0] not in _LONG]
        for kind, columns in COLUMNS.items()
    }
    return "\n\n".join(
        f"{TITLES[kind]}\n{table(results.of(kind), columns[kind])}"
        for kind in TITLES
        if results.measured(kind)
    )


_LONG = {
    "encoders, s",
    "TFLOP, TB",
    "floors of these, s",
    "TFLOP per example",
    "steps timed",
    "program, GiB",
    "peak of the process, GiB",
    "compile time, s",
    "first loss",
    "last loss",
}


def write_plots(results: Results, folder: Path) -> None:
    """Plots the speed by batch size, and the ratio of floor and time of each row."""
    rows = results.measured("sampling")
    if not rows:
        return
    _write_figure(_speed(rows, results), folder / SPEED_PLOT)
    floored = [row for row in rows if row.measured.share_of_floor is not None]
    if floored:
        _write_figure(_shares(floored, results), folder / FLOOR_PLOT)


def _speed(rows: Sequence[Row], results: Results) -> Any:
    from matplotlib.figure import Figure

    samplers = list(dict.fromkeys((row.settings.sampler, row.settings.steps) for row in rows))
    figure = Figure(figsize=(5.5 * len(samplers), 4), layout="constrained")
    for axes, sampler in zip(
        figure.subplots(1, len(samplers), squeeze=False)[0], samplers, strict=True
    ):
        chosen = [row for row in rows if (row.settings.sampler, row.settings.steps) == sampler]
        for line in dict.fromkeys((row.settings.size, row.settings.precision) for row in chosen):
            points = sorted(
                (row.settings.batch, row.measured.audio_seconds_per_second)
                for row in chosen
                if (row.settings.size, row.settings.precision) == line
            )
            axes.plot(*zip(*points, strict=True), marker="o", label=", ".join(line))
        batches = sorted({row.settings.batch for row in chosen})
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.axhline(1, color="0.5", linestyle=":", label="realtime")
        axes.set_xlabel("batch size (segments)")
        axes.set_ylabel("seconds of audio per second")
        axes.set_title(f"{sampler[0]}, {sampler[1]} steps, guided; {results.machine.device}")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _shares(rows: Sequence[Row], results: Results) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    labels = []
    for place, row in enumerate(rows):
        found, settings = row.measured, row.settings
        operations = found.flops_floor_seconds > found.bytes_floor_seconds
        color = "tab:blue" if operations else "tab:orange"
        axes.barh(place, 100 * found.share_of_floor, color=color)
        labels.append(
            f"{settings.size} {settings.precision} batch {settings.batch}, "
            f"{settings.sampler} {settings.steps}"
        )
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("larger floor over time, % (blue: operations, orange: bytes)")
    axes.set_title(results.machine.device)
    axes.grid(alpha=0.3, axis="x")
    return figure


def _write_figure(figure: Any, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=110)
