"""Table of a comparison of two rows, in Markdown."""

from collections.abc import Sequence

from spectrodiff.evaluation.comparison import ColumnDifference, Comparison, CorpusDifferences
from spectrodiff.evaluation.metrics.paired import RANDOM_PATTERNS
from spectrodiff.report.formatting import NOTHING, column_decimals, format_count, format_number
from spectrodiff.report.markdown import escape, table_lines
from spectrodiff.report.tables import Cell, Heading, Line, Table, with_arrow

_HEADINGS = ("A", "B", "A − B", "95 % interval", "p", "p (Holm)", "Songs")


def comparison_table(comparison: Comparison) -> str:
    """Returns a comparison in Markdown: what is compared, a table per corpus, and remarks."""
    parts = [f"- A: {escape(comparison.first)}\n- B: {escape(comparison.second)}"]
    for corpus in comparison.corpora:
        songs = f"{corpus.songs} song{'s' if corpus.songs != 1 else ''}"
        parts.append(f"## {escape(corpus.title)}, {songs}")
        lines = [_line(column) for column in corpus.columns]
        headings = [Heading(title) for title in _HEADINGS]
        parts.append(table_lines(Table(headings, [lines], "Mean over songs")))
    parts.append("\n".join(f"- {escape(note)}" for note in _notes(comparison)))
    return "\n\n".join(parts) + "\n"


def _line(column: ColumnDifference) -> Line:
    decimals = column_decimals([column.first, column.second])
    interval = NOTHING
    if column.low is not None and column.high is not None:
        ends = (format_number(end, decimals, sign=True) for end in (column.low, column.high))
        interval = f"[{', '.join(ends)}]"
    texts = (
        format_number(column.first, decimals),
        format_number(column.second, decimals),
        format_number(column.difference, decimals, sign=True),
        interval,
        _p_text(column.p_value),
        _p_text(column.p_holm),
        format_count(column.songs),
    )
    title = with_arrow(column.title, column.better)
    return Line(title, [Cell(text) for text in texts])


def _p_text(p_value: float | None) -> str:
    if p_value is None:
        return NOTHING
    return f"{p_value:.4f}" if p_value >= 0.0001 else "< 0.0001"


def _notes(comparison: Comparison) -> list[str]:
    notes = [
        "Interval: percentile bootstrap over the shared songs. p: sign-flip test of the "
        f"differences, {_patterns(comparison.corpora)}. p (Holm): corrected for the number of "
        "columns with a test.",
    ]
    columns = [column for corpus in comparison.corpora for column in corpus.columns]
    if any(column.p_value is None for column in columns):
        notes.append(
            "Frechet distances compare whole corpora, not songs, so their differences have neither "
            "interval nor test."
        )
    if len(comparison.corpora) > 1:
        notes.append(
            "All corpora: means over the songs of a corpus, then over corpora; songs are resampled "
            "within their corpus."
        )
    return [*notes, *comparison.notes]


def _patterns(corpora: Sequence[CorpusDifferences]) -> str:
    exact, sampled = "with all patterns of signs", f"with {RANDOM_PATTERNS:,} random patterns"
    kinds = {corpus.exact for corpus in corpora}
    if len(kinds) > 1:
        return f"{exact} for few songs and {sampled} for many"
    return exact if True in kinds else sampled
