"""Tables of a report, as lines of cells for HTML and Markdown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spectrodiff.evaluation.columns import Better, Column
from spectrodiff.evaluation.results import (
    CorpusResults,
    CorpusScore,
    MissingColumn,
    Results,
)
from spectrodiff.report import paper
from spectrodiff.report.formatting import NOTHING, column_decimals, format_count, format_number


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
class Line:
    """Line of a table.

    Attributes:
        title: heading of the line.
        cells: one per column.
        kind: "ours", "paper", "difference", or "reference" for a row that only the paper has.
    """

    title: str
    cells: Sequence[Cell]
    kind: str = "ours"


@dataclass(frozen=True)
class Table:
    """Table with groups of lines.

    Attributes:
        columns: headings of the columns.
        groups: groups of lines that are set apart from one another.
        corner: heading of the headings of the lines.
    """

    columns: Sequence[str]
    groups: Sequence[Sequence[Line]]
    corner: str = ""

    @property
    def lines(self) -> list[Line]:
        """Lines of all groups."""
        return [line for group in self.groups for line in group]


def warnings(results: Results) -> list[str]:
    """Returns warnings about songs that are missing, and about corpora of a single song."""
    lines = [
        f"{corpus.title}: scores of {corpus.songs} of {corpus.asked} songs"
        for corpus in results.corpora
        if corpus.songs != corpus.asked
    ]
    for corpus in results.corpora:
        if corpus.songs == 1:
            lines.append(f"{corpus.title}: one song only, so no score has an interval")
    return lines


def summary_table(results: Results) -> Table:
    """Returns the paper's Table 1: our means over corpora, the paper's and the differences."""
    ours = {row.name: _summary_values(results, row.name) for row in results.rows}
    matched = {row.name: matched_row(results, row.name) for row in results.rows}
    theirs, _ = comparable_means(results)
    shown = theirs or paper.MEAN
    all_values: list[Mapping[str, float | None]] = [*ours.values(), *paper.MEAN.values()]
    decimals = {
        column: column_decimals(values.get(column) for values in all_values)
        for column in paper.COLUMNS
    }
    titles = {column.name: column.title for column in results.columns}
    groups = []
    for row in results.rows:
        own = ours[row.name]
        group = [Line(row.title, _cells(own, decimals))]
        if match := matched[row.name]:
            title = "Paper" if match in (paper.ENCODED, paper.RAW) else f"Paper: {match}"
            group.append(Line(title, _cells(shown[match], decimals, 2), "paper"))
            if theirs:
                group.append(
                    Line("Difference", _differences(own, theirs[match], decimals), "difference")
                )
        groups.append(group)
    groups.append(
        [
            Line(f"Paper: {row}", _cells(shown[row], decimals, 2), "reference")
            for row in paper.MEAN
            if row not in matched.values()
        ]
    )
    columns = [
        with_arrow(titles.get(column, title), better)
        for column, (title, better) in paper.COLUMNS.items()
    ]
    return Table(columns, [group for group in groups if group], "Mean over corpora")


def has_paper_scores(results: Results) -> bool:
    """Returns True if there is a score in any column of the paper's Table 1."""
    return any(
        _value(results.mean, row.name, column) is not None
        for row in results.rows
        for column in paper.COLUMNS
    )


def other_table(results: Results) -> Table | None:
    """Returns the means over corpora of columns that the paper lacks; None if there are none."""
    lines = []
    for column in results.columns:
        values = [_value(results.mean, row.name, column.name) for row in results.rows]
        if column.name not in paper.COLUMNS and any(value is not None for value in values):
            cells = [Cell(format_number(value, column_decimals([value]))) for value in values]
            lines.append(Line(with_arrow(column.title, column.better), cells))
    if not lines:
        return None
    return Table([row.title for row in results.rows], [lines], "Mean over corpora")


def corpus_table(results: Results, corpus: CorpusResults) -> Table:
    """Returns all scores of a corpus, with intervals, extrapolated FAD, N and the paper's score."""
    reference = paper.find_corpus(corpus.name, corpus.split)
    matched = {row.name: matched_row(results, row.name) for row in results.rows}
    lines = []
    for column in results.columns:
        scores = [corpus.scores.get(row.name, {}).get(column.name) for row in results.rows]
        if all(score is None or score.value is None for score in scores):
            continue
        cells = []
        for row, score in zip(results.rows, scores, strict=True):
            published = None
            if reference is not None and (match := matched[row.name]):
                published = reference.rows[match].get(column.name)
            cells.append(_score_cell(score, column, published))
        lines.append(Line(with_arrow(column.title, column.better), cells))
    return Table([row.title for row in results.rows], [lines], "Score")


def comparable_means(
    results: Results,
) -> tuple[Mapping[str, Mapping[str, float]], list[str]]:
    """Returns the paper's means over the corpora evaluated here, and the titles of these corpora.

    Both are empty if one of the corpora is not in the paper, since means over other music are not
    comparable.
    """
    corpora = [paper.find_corpus(corpus.name, corpus.split) for corpus in results.corpora]
    known = [corpus for corpus in corpora if corpus is not None]
    if not known or len(known) < len(corpora):
        return {}, []
    titles = [corpus.title for corpus in known]
    if sorted(titles) == sorted(corpus.title for corpus in paper.CORPORA.values()):
        return paper.MEAN, titles
    means: dict[str, dict[str, float]] = {}
    for row, published in paper.MEAN.items():
        per_corpus = [corpus.rows[row] for corpus in known]
        means[row] = {
            column: sum(values[column] for values in per_corpus) / len(per_corpus)
            for column in per_corpus[0]
        }
        if paper.REAL_TIME in published:
            means[row][paper.REAL_TIME] = published[paper.REAL_TIME]
    return means, titles


def comparison_note(results: Results) -> str:
    """Explains the paper's scores in the summary, and why there may be no differences."""
    means, titles = comparable_means(results)
    if means is paper.MEAN:
        note = "The paper's scores are those of its Table 1, means over the same six corpora."
        return note + _unequal_songs(results)
    if means:
        note = (
            "The paper's scores here are means over the corpora evaluated here "
            f"({', '.join(titles)}), from its table per corpus."
        )
        return note + _unequal_songs(results)
    others = [
        corpus.title
        for corpus in results.corpora
        if paper.find_corpus(corpus.name, corpus.split) is None
    ]
    return (
        "The paper's scores are means over its six corpora. They are not comparable with this "
        f"evaluation, since {', '.join(others) or 'no corpus'} "
        f"{'are' if len(others) > 1 else 'is'} not among these: compare rows of this evaluation "
        "only."
    )


def _unequal_songs(results: Results) -> str:
    """Names the corpora whose number of songs differs from that in the paper."""
    unequal = []
    for corpus in results.corpora:
        reference = paper.find_corpus(corpus.name, corpus.split)
        if reference is not None and reference.songs != corpus.songs:
            unequal.append(f"{reference.title} {corpus.songs} here, {reference.songs} there")
    if not unequal:
        return ""
    return f" Numbers of songs differ, so scores are not fully comparable: {'; '.join(unequal)}."


def matched_row(results: Results, row: str) -> str | None:
    """Returns the row of the paper that a row of an evaluation reproduces, if there is one."""
    return paper.find_row(row, results.model, results.title)


def with_arrow(title: str, better: Better) -> str:
    """Returns the title of a column with an arrow towards better scores."""
    # The space is a non-breaking one.
    return f"{title}\u00a0{'↓' if better == 'lower' else '↑'}"


def markdown_table(results: Results) -> str:
    """Returns the tables of a report in Markdown."""
    parts = [f"# {_escape(results.title)}", _escape(f"Model: {results.model}")]
    if lines := warnings(results):
        parts.append("\n".join(f"- **{_escape(line)}**" for line in lines))
    parts += [_markdown(summary_table(results)), comparison_note(results)]
    if other := other_table(results):
        parts.append(_markdown(other))
    if results.missing:
        parts.append("\n".join(_missing_line(*group) for group in missing_groups(results)))
    for corpus in results.corpora:
        songs = f"{corpus.songs} of {corpus.asked} song{'s' if corpus.asked != 1 else ''}"
        parts.append(f"## {_escape(corpus.title)}\n\n{songs}")
        parts.append(_markdown(corpus_table(results, corpus)))
    return "\n\n".join(parts) + "\n"


def missing_groups(results: Results) -> list[tuple[str, MissingColumn]]:
    """Groups empty columns by cause; returns their titles and one of them per group."""
    titles = {name: title for name, (title, _) in paper.COLUMNS.items()}
    titles |= {column.name: column.title for column in results.columns}
    groups: dict[tuple[str, str, str], list[MissingColumn]] = {}
    for entry in results.missing:
        groups.setdefault((entry.file, entry.published, entry.reason), []).append(entry)
    return [
        (", ".join(titles.get(e.column, e.column.replace("_", " ")) for e in entries), entries[0])
        for entries in groups.values()
    ]


def _summary_values(results: Results, row: str) -> dict[str, float | None]:
    values = dict(results.mean.get(row, {}))
    if results.speed is not None and row == "model":
        values[paper.REAL_TIME] = results.speed.both
    elif results.speed is not None and row == "encoded":
        values[paper.REAL_TIME] = results.speed.inversion
    return values


def _cells(
    values: Mapping[str, float | None], decimals: Mapping[str, int], at_most: int = 9
) -> list[Cell]:
    return [
        Cell(format_number(values.get(column), min(decimals[column], at_most)))
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


def _score_cell(score: CorpusScore | None, column: Column, published: float | None) -> Cell:
    if score is None or score.value is None:
        return Cell(NOTHING)
    decimals = column_decimals([score.value])
    notes = []
    if score.low is not None and score.high is not None:
        interval = (format_number(end, decimals) for end in (score.low, score.high))
        notes.append("[" + ", ".join(interval) + "]")
    if score.extrapolated is not None:
        notes.append(f"∞ {format_number(score.extrapolated, decimals)}")
    if score.frames is not None:
        notes.append(f"N {format_count(score.frames)}")
    kind = ""
    if published is not None:
        difference = _difference(score.value - published, column.better, decimals)
        notes.append(f"paper {published:.2f} ({difference.text})")
        kind = difference.kind
    return Cell(format_number(score.value, decimals), notes, kind)


def _value(table: Mapping[str, Mapping[str, float | None]], row: str, name: str) -> float | None:
    return table.get(row, {}).get(name)


def _markdown(table: Table) -> str:
    lines = [
        [table.corner, *table.columns],
        ["---", *("---:" for _ in table.columns)],
        *(
            [_bold(line), *("<br>".join([cell.text, *cell.notes]) for cell in line.cells)]
            for line in table.lines
        ),
    ]
    head, rule, *rest = ([_escape_pipe(text) for text in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rest))


def _missing_line(columns: str, cause: MissingColumn) -> str:
    published = f"; published at {cause.published}" if cause.published else ""
    return f"- {_escape(f'{columns}: empty, because {cause.reason} ({cause.file}{published})')}"


def _bold(line: Line) -> str:
    return f"**{_escape(line.title)}**" if line.kind == "ours" else _escape(line.title)


def _escape(text: str) -> str:
    for mark in "\\`*_<>[]#":
        text = text.replace(mark, "\\" + mark)
    return re.sub(r"[ \t\r\n]+", " ", text)


def _escape_pipe(text: str) -> str:
    return text.replace("|", "\\|")
