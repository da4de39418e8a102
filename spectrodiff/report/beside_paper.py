"""Comparison of an evaluation with the paper: which numbers may stand beside ours, and why."""

from collections.abc import Mapping

from spectrodiff.evaluation.results import Results
from spectrodiff.report import paper
from spectrodiff.report.header import protocol


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


def shows_differences(results: Results) -> bool:
    """Returns True if the protocol of the evaluation is that of the paper's numbers."""
    return protocol(results) == "released"


def stands_beside(results: Results) -> bool:
    """Returns True if our means stand beside the paper's, in one table."""
    return bool(comparable_means(results)[0]) and has_paper_scores(results)


def has_paper_scores(results: Results) -> bool:
    """Returns True if there is a score in any column of the paper's Table 1."""
    return any(
        results.mean.get(row.name, {}).get(column) is not None
        for row in results.rows
        for column in paper.COLUMNS
    )


def has_paper_corpora(results: Results) -> bool:
    """Returns True if one of the corpora is in the paper."""
    return any(paper.find_corpus(corpus.name, corpus.split) for corpus in results.corpora)


def comparison_note(results: Results) -> str:
    """Explains the paper's scores in the summary, and why there may be no differences."""
    means, titles = comparable_means(results)
    if means is paper.MEAN:
        note = "The paper's scores are those of its Table 1, means over the same six corpora."
        return note + _unequal_songs(results) + _protocol_note(results)
    if means:
        note = (
            "The paper's scores here are means over the corpora evaluated here "
            f"({', '.join(titles)}), from its table per corpus."
        )
        return note + _unequal_songs(results) + _protocol_note(results)
    others = [
        corpus.title
        for corpus in results.corpora
        if paper.find_corpus(corpus.name, corpus.split) is None
    ]
    return (
        "The paper's scores are means over its six corpora. They are not comparable with this "
        f"evaluation, since {', '.join(others) or 'no corpus'} "
        f"{'are' if len(others) > 1 else 'is'} not among these: compare rows of this evaluation "
        f"only.{_protocol_note(results)}"
    )


def _protocol_note(results: Results) -> str:
    """Returns a sentence, after a space, on why no differences are given; "" if they are."""
    if shows_differences(results) or not has_paper_corpora(results):
        return ""
    name = protocol(results)
    ours = f"has the protocol “{name}”" if name else "names no protocol"
    return (
        " No differences are given, since the paper's scores have the released protocol, whose "
        f"padding shifts frames, and this evaluation {ours} (see docs/evaluation.md)."
    )


def matched_row(results: Results, row: str) -> str | None:
    """Returns the row of the paper that a row of an evaluation reproduces, if there is one."""
    return paper.find_row(row, results.model, results.title)


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
