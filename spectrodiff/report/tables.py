"""Tables of a report, as lines of cells for HTML and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spectrodiff.evaluation.columns import Better, Column
from spectrodiff.evaluation.results import CorpusResults, CorpusScore, Results
from spectrodiff.report import paper
from spectrodiff.report.beside_paper import comparable_means, matched_row, shows_differences
from spectrodiff.report.explanations import explain, split_part
from spectrodiff.report.formatting import (
    NOTHING,
    decimals_by_column,
    format_count,
    format_number,
)

_MEANS = "Mean over corpora"


@dataclass(frozen=True)
class Cell:
    """Cell of a table.

    Attributes:
        text: the number.
        notes: small texts below it, such as an interval.
        kind: "better" or "worse" for a difference from the paper, else "".
    """

    text: str
    notes: Sequence[str] = ()
    kind: str = ""


@dataclass(frozen=True)
class Heading:
    """Heading of a column: title, and an explanation for those who point at it."""

    title: str
    hint: str = ""


@dataclass(frozen=True)
class Line:
    """Line of a table.

    Attributes:
        title: heading of the line.
        cells: one per column.
        kind: "ours", "part" for drums or other notes alone, "paper", "difference", or "reference"
            for a row that only the paper has.
        hint: explanation for those who point at the heading.
    """

    title: str
    cells: Sequence[Cell]
    kind: str = "ours"
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """Table with groups of lines.

    Attributes:
        columns: headings of the columns.
        groups: groups of lines that are set apart from one another.
        corner: heading of the headings of the lines.
    """

    columns: Sequence[Heading]
    groups: Sequence[Sequence[Line]]
    corner: str = ""

    @property
    def lines(self) -> list[Line]:
        """Lines of all groups."""
        return [line for group in self.groups for line in group]


def summary_table(results: Results) -> Table:
    """Returns the paper's Table 1: our means over corpora, the paper's and the differences."""
    ours = {row.name: _summary_values(results, row.name) for row in results.rows}
    matched = {row.name: matched_row(results, row.name) for row in results.rows}
    theirs, _ = comparable_means(results)
    shown = theirs or paper.MEAN
    decimals = decimals_by_column(results)
    groups = []
    for row in results.rows:
        own = ours[row.name]
        group = [Line(row.title, _cells(own, decimals))]
        if match := matched[row.name]:
            title = "Paper" if match in (paper.ENCODED, paper.RAW) else f"Paper: {match}"
            group.append(Line(title, _cells(shown[match]), "paper"))
            if theirs and shows_differences(results):
                differences = _differences(own, theirs[match], decimals)
                group.append(Line("Difference", differences, "difference"))
        groups.append(group)
    groups.append(_paper_lines(shown, [row for row in matched.values() if row]))
    return Table(_paper_headings(results), [group for group in groups if group], _MEANS)


def paper_table(results: Results) -> Table:
    """Returns the paper's rows alone, means over the same corpora as ours if it has them."""
    shown = comparable_means(results)[0] or paper.MEAN
    return Table(_paper_headings(results), [_paper_lines(shown)], _MEANS)


def measured_table(results: Results, *, without_paper: bool = False) -> Table | None:
    """Returns the means over corpora, a line per column that was measured; None if none was.

    Args:
        results: results of an evaluation.
        without_paper: leaves out the columns of the paper's Table 1.
    """
    decimals = decimals_by_column(results)
    values = {row.name: _summary_values(results, row.name) for row in results.rows}
    titles = [(column.name, column.title, column.better) for column in ordered(results.columns)]
    titles.append((paper.REAL_TIME, *paper.COLUMNS[paper.REAL_TIME]))
    lines: list[Line] = []
    above: list[str] = []
    for name, title, better in titles:
        means = [values[row.name].get(name) for row in results.rows]
        if all(mean is None for mean in means) or (without_paper and name in paper.COLUMNS):
            continue
        cells = [Cell(format_number(mean, decimals[name])) for mean in means]
        lines.append(Line(with_arrow(title, better), cells, _kind(name, above), explain(name)))
        above.append(name)
    if not lines:
        return None
    return Table([Heading(row.title) for row in results.rows], [lines], _MEANS)


def corpus_table(results: Results, corpus: CorpusResults) -> Table:
    """Returns all scores of a corpus, with intervals, extrapolated FAD, N and the paper's score."""
    reference = paper.find_corpus(corpus.name, corpus.split)
    matched = {row.name: matched_row(results, row.name) for row in results.rows}
    decimals = decimals_by_column(results)
    differences = shows_differences(results)
    lines: list[Line] = []
    above: list[str] = []
    for column in ordered(results.columns):
        scores = [corpus.scores.get(row.name, {}).get(column.name) for row in results.rows]
        if all(score is None or score.value is None for score in scores):
            continue
        cells = []
        for row, score in zip(results.rows, scores, strict=True):
            cell = _score_cell(score, decimals[column.name])
            match = matched[row.name]
            published = reference.rows[match].get(column.name) if reference and match else None
            if score is not None and score.value is not None and published is not None:
                found = score.value if differences else None
                cell = _beside(cell, found, published, column.better, decimals[column.name])
            cells.append(cell)
        title, kind = with_arrow(column.title, column.better), _kind(column.name, above)
        lines.append(Line(title, cells, kind, explain(column.name)))
        above.append(column.name)
    return Table([Heading(row.title) for row in results.rows], [lines], "Score")


def ordered(columns: Sequence[Column]) -> list[Column]:
    """Returns columns in their order, those of drums and of other notes after their sum."""
    places = {column.name: place for place, column in enumerate(columns)}

    def place(column: Column) -> tuple[int, bool]:
        whole, part = split_part(column.name)
        return places.get(whole, places[column.name]), part != ""

    return sorted(columns, key=place)


def with_arrow(title: str, better: Better) -> str:
    """Returns the title of a column with an arrow towards better scores."""
    # The space is a non-breaking one.
    return f"{title}\u00a0{'↓' if better == 'lower' else '↑'}"


def _kind(column: str, above: Sequence[str]) -> str:
    """Returns the kind of a line, from the names of the columns above it."""
    whole, part = split_part(column)
    return "part" if part and whole in above else "ours"


def _paper_headings(results: Results) -> list[Heading]:
    titles = {column.name: column.title for column in results.columns}
    return [
        Heading(with_arrow(titles.get(name, title), better), explain(name))
        for name, (title, better) in paper.COLUMNS.items()
    ]


def _paper_lines(
    shown: Mapping[str, Mapping[str, float]], without: Sequence[str] = ()
) -> list[Line]:
    return [
        Line(f"Paper: {row}", _cells(shown[row]), "reference")
        for row in paper.MEAN
        if row not in without
    ]


def _summary_values(results: Results, row: str) -> dict[str, float | None]:
    values = dict(results.mean.get(row, {}))
    if row in results.speeds:
        values[paper.REAL_TIME] = results.speeds[row].both
    elif results.speed is not None and row == "model":
        values[paper.REAL_TIME] = results.speed.both
    elif results.speed is not None and row == "encoded":
        values[paper.REAL_TIME] = results.speed.inversion
    return values


def _cells(
    values: Mapping[str, float | None], decimals: Mapping[str, int] | None = None
) -> list[Cell]:
    # The paper has two decimals.
    return [
        Cell(format_number(values.get(column), decimals[column] if decimals else 2))
        for column in paper.COLUMNS
    ]


def _differences(
    ours: Mapping[str, float | None], theirs: Mapping[str, float], decimals: Mapping[str, int]
) -> list[Cell]:
    cells = []
    for column, (_, better) in paper.COLUMNS.items():
        own, published = ours.get(column), theirs.get(column)
        if own is None or published is None:
            cells.append(Cell(NOTHING))
        else:
            cells.append(_difference(own - published, better, decimals[column]))
    return cells


def _difference(difference: float, better: Better, decimals: int) -> Cell:
    if round(difference, decimals) == 0:
        kind = ""
    else:
        kind = "better" if (difference < 0) == (better == "lower") else "worse"
    return Cell(format_number(difference, decimals, sign=True), kind=kind)


def _score_cell(score: CorpusScore | None, decimals: int) -> Cell:
    if score is None or score.value is None:
        return Cell(NOTHING)
    notes = []
    if score.low is not None and score.high is not None:
        interval = (format_number(end, decimals) for end in (score.low, score.high))
        notes.append("[" + ", ".join(interval) + "]")
    if score.extrapolated is not None:
        notes.append(f"∞ {format_number(score.extrapolated, decimals)}")
    if score.frames is not None:
        notes.append(f"N {format_count(score.frames)}")
    return Cell(format_number(score.value, decimals), notes)


def _beside(
    cell: Cell, score: float | None, published: float, better: Better, decimals: int
) -> Cell:
    """Adds the paper's score to a cell, and the difference unless `score` is None."""
    note, kind = f"paper {published:.2f}", ""
    if score is not None:
        difference = _difference(score - published, better, decimals)
        note, kind = f"{note} ({difference.text})", difference.kind
    return Cell(cell.text, [*cell.notes, note], kind)
