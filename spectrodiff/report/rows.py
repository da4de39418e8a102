"""Rows of a report: which one comes first for readers, and how each looks."""

from collections.abc import Sequence
from dataclasses import dataclass

from spectrodiff.evaluation.results import ResultRow

# Numbers of colors in `style.css` and of shapes in `plots.py`. They have no common divisor, so that
# both repeat together only after many rows.
_MODEL_COLORS, _REFERENCE_COLORS, _SHAPES = 5, 4, 3


@dataclass(frozen=True)
class RowStyle:
    """Look of a row.

    Attributes:
        css_class: class that sets the color: "row-0", ... of the palette for models, "reference-0",
            ... in grey for references.
        shape: shape of its marks, 0..2.
        reference: whether it is a reference, whose marks are of other shapes.
    """

    css_class: str
    shape: int
    reference: bool


def row_styles(rows: Sequence[ResultRow]) -> list[RowStyle]:
    """Returns the look of each row; models and references are counted apart."""
    styles = []
    counts = {False: 0, True: 0}
    for row in rows:
        reference = row.is_reference
        number = counts[reference]
        counts[reference] += 1
        name, colors = ("reference", _REFERENCE_COLORS) if reference else ("row", _MODEL_COLORS)
        styles.append(RowStyle(f"{name}-{number % colors}", number % _SHAPES, reference))
    return styles


def main_row(rows: Sequence[ResultRow]) -> ResultRow | None:
    """Returns the row that songs are chosen by: the first model, else the first row."""
    models = [row for row in rows if not row.is_reference]
    return next(iter([*models, *rows]), None)
