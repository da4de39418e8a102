"""Tables of a report in Markdown."""

import re

from spectrodiff.evaluation.results import MissingColumn, Results
from spectrodiff.report.beside_paper import (
    comparison_note,
    has_paper_corpora,
    stands_beside,
)
from spectrodiff.report.explanations import missing_groups, warnings
from spectrodiff.report.header import how_rows_were_made, protocol
from spectrodiff.report.tables import (
    Line,
    Table,
    corpus_table,
    measured_table,
    paper_table,
    summary_table,
)


def markdown_table(results: Results) -> str:
    """Returns the tables of a report in Markdown."""
    parts = [f"# {escape(results.title)}", _head(results)]
    if lines := warnings(results):
        parts.append("\n".join(f"- **{escape(line)}**" for line in lines))
    parts += _summary(results)
    if results.missing:
        parts.append("\n".join(_missing_line(*group) for group in missing_groups(results)))
    for corpus in results.corpora:
        songs = f"{corpus.songs} of {corpus.asked} song{'s' if corpus.asked != 1 else ''}"
        parts.append(f"## {escape(corpus.title)}\n\n{songs}")
        parts.append(table_lines(corpus_table(results, corpus)))
    return "\n\n".join(parts) + "\n"


def table_lines(table: Table) -> str:
    """Returns a table in Markdown."""
    lines = [
        [table.corner, *(escape(heading.title) for heading in table.columns)],
        ["---", *("---:" for _ in table.columns)],
        *(
            [_bold(line), *("<br>".join([cell.text, *cell.notes]) for cell in line.cells)]
            for line in table.lines
        ),
    ]
    head, rule, *rest = ([_escape_pipe(text) for text in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rest))


def escape(text: str) -> str:
    """Escapes what Markdown would take for its marks; the text stays in one line."""
    for mark in "\\`*_<>[]#&~":
        text = text.replace(mark, "\\" + mark)
    return re.sub(r"[ \t\r\n]+", " ", text)


def _head(results: Results) -> str:
    lines = [f"Model: {results.model}"] if results.model else []
    lines += [f"{titles}: {text}" for titles, text in how_rows_were_made(results)]
    if name := protocol(results):
        lines.append(f"Protocol: {name}")
    return "\n".join(f"- {escape(line)}" for line in lines)


def _summary(results: Results) -> list[str]:
    """Returns our means beside the paper's where they are comparable, else ours first."""
    if stands_beside(results):
        parts = [table_lines(summary_table(results)), escape(comparison_note(results))]
        other = measured_table(results, without_paper=True)
        return parts + ([table_lines(other)] if other else [])
    measured = measured_table(results)
    parts = [table_lines(measured)] if measured else []
    if has_paper_corpora(results):
        parts += [table_lines(paper_table(results)), escape(comparison_note(results))]
    return parts


def _missing_line(columns: str, cause: MissingColumn) -> str:
    published = f"; published at {cause.published}" if cause.published else ""
    return f"- {escape(f'{columns}: empty, because {cause.reason} ({cause.file}{published})')}"


def _bold(line: Line) -> str:
    return f"**{escape(line.title)}**" if line.kind == "ours" else escape(line.title)


def _escape_pipe(text: str) -> str:
    return text.replace("|", "\\|")
