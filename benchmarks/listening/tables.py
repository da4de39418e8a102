"""Results of the bench: storage, tables, comparison."""

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.core.errors import ReportError
from spectrodiff.core.json_files import write_json

from .measures import Value

NOT_MEASURED = "–"
# Endings of names of measures in older results, and their current ones.
_RENAMED = {", as drawn": " of the features", ", as heard": " of the audio"}


@dataclasses.dataclass(frozen=True)
class Row:
    """Values of one measure; None if it is not defined or could not be measured.

    Attributes:
        group: of related measures.
        name: of the measure, unique in its group.
        unit: of the numbers, "" for none.
        model: value of the model.
        reference: value of the soundfont that models are trained on.
        second: value of the other soundfont.
        inverter: value of the model's inverter on the features of the reference.
    """

    group: str
    name: str
    unit: str
    model: float | None = None
    reference: float | None = None
    second: float | None = None
    inverter: float | None = None


@dataclasses.dataclass(frozen=True)
class Results:
    """Settings and measures of one run.

    Attributes:
        model: name of the model or soundfont.
        inverter: name of the inverter.
        form: "quick", "short" or "long".
        steps: number of sampling steps.
        guidance: guidance weight.
        seed: of sampling.
        gain: of both soundfonts.
        second_soundfont: name of the soundfont that models are not trained on.
        rows: the measures.
        overlap: number of frames that segments share.
    """

    model: str
    inverter: str
    form: str
    steps: int
    guidance: float
    seed: int
    gain: float
    second_soundfont: str
    rows: tuple[Row, ...]
    overlap: int = 0

    def write(self, path: Path) -> None:
        """Writes the results as JSON."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Results":
        """Reads results that `write` has written, also in older versions.

        Raises:
            ReportError: if the file is missing or holds something else.
        """
        try:
            stored = json.loads(Path(path).read_text())
            rows = [Row(**row) for row in stored.pop("rows")]
            rows = [dataclasses.replace(row, name=_current_name(row.name)) for row in rows]
            return cls(**stored, rows=tuple(rows))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReportError(path, "results of benchmarks/listen.py", str(error)) from error


def make_rows(
    model: Sequence[Value],
    reference: Sequence[Value],
    second: Sequence[Value],
    inverter: Sequence[Value],
) -> tuple[Row, ...]:
    """Returns rows of the same measures of four sources."""
    return tuple(
        Row(ours.group, ours.name, ours.unit, *map(_known, (ours, *others)))
        for ours, *others in zip(model, reference, second, inverter, strict=True)
    )


def inverter_rows(values: Sequence[Value]) -> tuple[Row, ...]:
    """Returns rows of measures that only an inverter has."""
    return tuple(
        Row(value.group, value.name, value.unit, inverter=_known(value)) for value in values
    )


def table(results: Results) -> str:
    """Returns a Markdown table of one run."""
    settings = (
        f"{results.model}, {results.form} form: {results.steps} steps, "
        f"guidance {results.guidance:g}, seed {results.seed}, overlap {results.overlap}, "
        f"soundfonts at gain {results.gain:g}"
    )
    columns = [
        results.model,
        "FluidR3",
        results.second_soundfont,
        f"{results.inverter} on FluidR3's features",
    ]
    cells = [[row.model, row.reference, row.second, row.inverter] for row in results.rows]
    return f"{settings}\n\n" + _markdown(
        results.rows, columns, [list(map(_show, c)) for c in cells]
    )


def comparison(before: Results, after: Results) -> str:
    """Returns a Markdown table of two runs and their differences.

    Raises:
        ReportError: if the runs differ in form, gain or soundfont.
    """
    for name in ("form", "second_soundfont", "gain"):
        theirs, ours = getattr(before, name), getattr(after, name)
        if theirs != ours:
            raise ReportError("--compare", f"two results with the same {name}", f"{theirs}, {ours}")
    known = {(row.group, row.name): row for row in before.rows}
    columns = [
        f"before: {before.model}",
        f"after: {after.model}",
        "change",
        "FluidR3",
        "inverter before",
        "inverter after",
    ]
    cells = []
    for row in after.rows:
        other = known.pop((row.group, row.name), Row(row.group, row.name, row.unit))
        cells.append(
            [
                _show(other.model),
                _show(row.model),
                _show_change(other.model, row.model),
                _show(row.reference),
                _show(other.inverter),
                _show(row.inverter),
            ]
        )
    gone = [
        [_show(row.model), "–", "–", _show(row.reference), _show(row.inverter), "–"]
        for row in known.values()
    ]
    settings = [
        f"{label}: {run.model}, {run.inverter}, {run.steps} steps, guidance {run.guidance:g}, "
        f"seed {run.seed}, overlap {run.overlap}"
        for label, run in (("before", before), ("after", after))
    ]
    lines = _markdown([*after.rows, *known.values()], columns, cells + gone)
    return "\n".join(settings) + f"\n\n{lines}"


def _markdown(rows: Sequence[Row], columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = ["| | measure | " + " | ".join(columns) + " |"]
    lines.append("|---|---|" + "---:|" * len(columns))
    group = ""
    for row, values in zip(rows, cells, strict=True):
        name = f"{row.name} ({row.unit})" if row.unit else row.name
        shown = row.group if row.group != group else ""
        group = row.group
        lines.append(f"| {shown} | {name} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def _current_name(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


def _known(value: Value) -> float | None:
    return value.value if math.isfinite(value.value) else None


def _show(number: float | None) -> str:
    if number is None:
        return NOT_MEASURED
    # No "-0.00".
    return f"{round(number, 2) + 0.0:.2f}"


def _show_change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return NOT_MEASURED
    return f"{round(after - before, 2) + 0.0:+.2f}"
