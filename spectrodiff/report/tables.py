"""The tables of a report, as rows of cells that HTML and Markdown are made from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spectrodiff.report import paper
from spectrodiff.report.formatting import NOTHING, column_decimals, format_count, format_number
from spectrodiff.report.scores import Corpus, Evaluation, Metric, Missing, Score, parse_scores


@dataclass(frozen=True)
class Cell:
    """A number, what is said below it, and how it is to be read.

    Attributes:
        text: the number.
        notes: an interval, for example.
        kind: "" or, of a difference from the paper, "better" or "worse".
    """

    text: str
    notes: Sequence[str] = ()
    kind: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        title: its heading.
        cells: one per column.
        kind: "ours", "paper", "difference" or "reference" (a row of the paper that ours is not).
    """

    title: str
    cells: Sequence[Cell]
    kind: str = "ours"


@dataclass(frozen=True)
class Table:
    """A table; each group of lines belongs together."""

    columns: Sequence[str]
    groups: Sequence[Sequence[Line]]
    corner: str = ""

    @property
    def lines(self) -> list[Line]:
        """All lines of all groups."""
        return [line for group in self.groups for line in group]


def summary_table(evaluation: Evaluation) -> Table:
    """The paper's Table 1: our means over corpora, the paper's numbers and the difference."""
    ours = {row.name: _summary_values(evaluation, row.name) for row in evaluation.rows}
    matched = {row.name: matched_row(evaluation, row.name) for row in evaluation.rows}
    theirs, _ = comparable_means(evaluation)
    shown = theirs or paper.MEAN
    all_values: list[Mapping[str, float | None]] = [*ours.values(), *paper.MEAN.values()]
    decimals = {
        column: column_decimals(values.get(column) for values in all_values)
        for column in paper.COLUMNS
    }
    titles = {metric.name: metric.title for metric in evaluation.metrics}
    groups = []
    for row in evaluation.rows:
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


def has_paper_scores(evaluation: Evaluation) -> bool:
    """Whether anything was measured that stands in the paper's Table 1."""
    return any(
        _value(evaluation.mean, row.name, column) is not None
        for row in evaluation.rows
        for column in paper.COLUMNS
    )


def other_table(evaluation: Evaluation) -> Table | None:
    """Means over corpora of the scores that the paper does not report; None if there are none."""
    metrics = [
        metric
        for metric in evaluation.metrics
        if metric.name not in paper.COLUMNS
        and any(
            _value(evaluation.mean, row.name, metric.name) is not None for row in evaluation.rows
        )
    ]
    if not metrics:
        return None
    lines = []
    for metric in metrics:
        values = [_value(evaluation.mean, row.name, metric.name) for row in evaluation.rows]
        cells = [Cell(format_number(value, column_decimals([value]))) for value in values]
        lines.append(Line(with_arrow(metric.title, metric.better), cells))
    return Table([row.title for row in evaluation.rows], [lines], "Mean over corpora")


def corpus_table(evaluation: Evaluation, corpus: Corpus) -> Table:
    """All scores of a corpus, with intervals, FAD without bias, N, and the paper's number."""
    reference = paper.find_corpus(corpus.name, corpus.split)
    matched = {row.name: matched_row(evaluation, row.name) for row in evaluation.rows}
    lines = []
    for metric in evaluation.metrics:
        scores = [corpus.scores.get(row.name, {}).get(metric.name) for row in evaluation.rows]
        if all(score is None or score.value is None for score in scores):
            continue
        cells = []
        for row, score in zip(evaluation.rows, scores, strict=True):
            published = None
            if reference is not None and (match := matched[row.name]):
                published = reference.rows[match].get(metric.name)
            cells.append(_score_cell(score, metric, published))
        lines.append(Line(with_arrow(metric.title, metric.better), cells))
    return Table([row.title for row in evaluation.rows], [lines], "Score")


def comparable_means(
    evaluation: Evaluation,
) -> tuple[Mapping[str, Mapping[str, float]], list[str]]:
    """The paper's means over the corpora that were evaluated here, and the names of those corpora.

    Both are empty if a corpus is none of the paper's: a mean over other music says nothing about
    the paper's.
    """
    corpora = [paper.find_corpus(corpus.name, corpus.split) for corpus in evaluation.corpora]
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


def comparison_note(evaluation: Evaluation) -> str:
    """What the paper's numbers in the summary are of, and why there may be no differences."""
    means, titles = comparable_means(evaluation)
    if means is paper.MEAN:
        note = "The paper's numbers are those of its Table 1, means over the same six corpora."
        return note + _unequal_songs(evaluation)
    if means:
        note = (
            "The paper's numbers here are means over the corpora evaluated here "
            f"({', '.join(titles)}), from its table per corpus."
        )
        return note + _unequal_songs(evaluation)
    strangers = [
        corpus.title
        for corpus in evaluation.corpora
        if paper.find_corpus(corpus.name, corpus.split) is None
    ]
    return (
        "The paper's numbers are means over its six corpora. There is no difference to them, since "
        f"{', '.join(strangers) or 'no corpus'} {'are' if len(strangers) > 1 else 'is'} not among "
        "these: compare rows within one evaluation."
    )


def _unequal_songs(evaluation: Evaluation) -> str:
    """Where the paper has other numbers of songs than were evaluated."""
    unequal = []
    for corpus in evaluation.corpora:
        reference = paper.find_corpus(corpus.name, corpus.split)
        if reference is not None and reference.songs != corpus.songs:
            unequal.append(f"{reference.title} {corpus.songs} here, {reference.songs} there")
    if not unequal:
        return ""
    return f" They are of other numbers of songs, so not quite comparable: {'; '.join(unequal)}."


def matched_row(evaluation: Evaluation, row: str) -> str | None:
    """The row of the paper that one of ours repeats."""
    return paper.find_row(row, evaluation.model, evaluation.title)


def with_arrow(title: str, better: str) -> str:
    """A score's title and which way is better."""
    # A space that does not break.
    return f"{title}\u00a0{'↓' if better == 'lower' else '↑'}"


def markdown_table(scores: dict[str, Any]) -> str:
    """The report's tables in Markdown, from what `scores.json` holds.

    Raises:
        ReportError: if that is not what an evaluation writes.
    """
    return markdown(parse_scores(scores))


def markdown(evaluation: Evaluation) -> str:
    """The report's tables in Markdown."""
    parts = [f"# {_escape(evaluation.title)}", _escape(f"Model: {evaluation.model}")]
    if evaluation.warnings:
        parts.append("\n".join(f"- **{_escape(warning)}**" for warning in evaluation.warnings))
    parts += [_markdown(summary_table(evaluation)), comparison_note(evaluation)]
    if other := other_table(evaluation):
        parts.append(_markdown(other))
    if evaluation.missing:
        parts.append("\n".join(_missing_line(*group) for group in missing_groups(evaluation)))
    for corpus in evaluation.corpora:
        songs = f"{corpus.songs} of {corpus.asked} song{'s' if corpus.asked != 1 else ''}"
        parts.append(f"## {_escape(corpus.title)}\n\n{songs}")
        parts.append(_markdown(corpus_table(evaluation, corpus)))
    return "\n\n".join(parts) + "\n"


def missing_groups(evaluation: Evaluation) -> list[tuple[str, Missing]]:
    """Titles of empty columns, those with one cause together, and that cause."""
    titles = {name: title for name, (title, _) in paper.COLUMNS.items()}
    titles |= {metric.name: metric.title for metric in evaluation.metrics}
    groups: dict[tuple[str, str, str], list[Missing]] = {}
    for entry in evaluation.missing:
        groups.setdefault((entry.file, entry.published, entry.reason), []).append(entry)
    return [
        (", ".join(titles.get(e.metric, e.metric.replace("_", " ")) for e in entries), entries[0])
        for entries in groups.values()
    ]


def _summary_values(evaluation: Evaluation, row: str) -> dict[str, float | None]:
    values = dict(evaluation.mean.get(row, {}))
    if row == "model":
        values[paper.REAL_TIME] = evaluation.speed["both"]
    elif row == "encoded":
        values[paper.REAL_TIME] = evaluation.speed["inversion"]
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


def _difference(difference: float, better: str, decimals: int) -> Cell:
    if round(difference, decimals) == 0:
        kind = ""
    else:
        kind = "better" if (difference < 0) == (better == "lower") else "worse"
    return Cell(format_number(difference, decimals, sign=True), kind=kind)


def _score_cell(score: Score | None, metric: Metric, published: float | None) -> Cell:
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
        difference = _difference(score.value - published, metric.better, decimals)
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


def _missing_line(columns: str, cause: Missing) -> str:
    published = f"; published at {cause.published}" if cause.published else ""
    return f"- {_escape(f'{columns}: empty, since {cause.reason} ({cause.file}{published})')}"


def _bold(line: Line) -> str:
    return f"**{_escape(line.title)}**" if line.kind == "ours" else _escape(line.title)


def _escape(text: str) -> str:
    for mark in "\\`*_<>[]#":
        text = text.replace(mark, "\\" + mark)
    return re.sub(r"[ \t\r\n]+", " ", text)


def _escape_pipe(text: str) -> str:
    return text.replace("|", "\\|")
