"""The report: a folder with a page that opens in a browser without a server."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectrodiff.core.files import atomic_file
from spectrodiff.core.progress import Progress
from spectrodiff.report import paper, tables
from spectrodiff.report.formatting import (
    column_decimals,
    format_number,
    format_seconds,
    time_ticks,
)
from spectrodiff.report.media import Strip, choose_songs, draw_strips, song_links
from spectrodiff.report.plots import mark_svg, plots
from spectrodiff.report.scores import Corpus, Evaluation, Metric, Song, read_scores

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class Deck:
    """A song with its rows side by side.

    Attributes:
        song: the song.
        reason: why it was chosen.
        strips: its rows.
        seconds: of the longest.
        ticks: of the time axis: place from the left in percent, and label.
    """

    song: Song
    reason: str
    strips: Sequence[Strip]
    seconds: float
    ticks: Sequence[tuple[float, str]]


def write_report(folder: Path, *, songs_per_corpus: int = 3) -> Path:
    """Writes the report on an evaluation into its folder.

    Args:
        folder: holds `scores.json`, and the audio it names.
        songs_per_corpus: how many songs are shown with spectrograms, from the best to the worst.

    Returns:
        The page, `index.html`; beside it are `table.md` and the folder `pictures`.

    Raises:
        ReportError: if `scores.json` is missing or not what an evaluation writes.
        AudioError: if audio that it names is missing or cannot be read.
        OutputError: if the folder cannot be written to.
    """
    folder = Path(folder)
    evaluation = read_scores(folder)
    decks = _decks(folder, evaluation, songs_per_corpus)
    corpora = [
        _corpus_view(folder, evaluation, corpus, of_corpus)
        for corpus, of_corpus in zip(evaluation.corpora, decks, strict=True)
    ]
    drawn = {folder / strip.picture for few in decks for deck in few for strip in deck.strips}
    for stale in set((folder / "pictures").glob("*-*-*.png")) - drawn:
        stale.unlink()
    page = render(
        "report.html",
        with_arrow=tables.with_arrow,
        evaluation=evaluation,
        summary=tables.summary_table(evaluation),
        measured_paper=tables.has_paper_scores(evaluation),
        other=tables.other_table(evaluation),
        comparison=tables.comparison_note(evaluation),
        missing=tables.missing_groups(evaluation),
        settings=_flat(evaluation.settings),
        speed=_speed_line(evaluation),
        legend=[(number, row, mark_svg(number)) for number, row in enumerate(evaluation.rows)],
        corpora=corpora,
    )
    with atomic_file(folder / "table.md") as file:
        file.write_text(tables.markdown(evaluation), encoding="utf-8", errors="replace")
    index = folder / "index.html"
    with atomic_file(index) as file:
        file.write_text(page, encoding="utf-8", errors="replace")
    return index


def render(template: str, **values: Any) -> str:
    """Fills a template of this package; every value is escaped unless it is markup."""
    return _environment().get_template(template).render(**values)


def _environment() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("spectrodiff.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _decks(folder: Path, evaluation: Evaluation, songs_per_corpus: int) -> list[list[Deck]]:
    """The songs to show of each corpus, with their pictures drawn."""
    row = evaluation.rows[0].name if evaluation.rows else ""
    chosen = [
        choose_songs(corpus, evaluation.metrics, row, songs_per_corpus)
        for corpus in evaluation.corpora
    ]
    decks: list[list[Deck]] = []
    with Progress("drawing", sum(map(len, chosen)), "song") as progress:
        for number, choices in enumerate(chosen):
            decks.append([])
            for place, choice in enumerate(choices):
                strips = draw_strips(folder, choice.song, evaluation.rows, f"{number}-{place}")
                if strips:
                    seconds = max(strip.seconds for strip in strips)
                    deck = Deck(choice.song, choice.reason, strips, seconds, _axis(seconds))
                    decks[-1].append(deck)
                progress.advance()
    return decks


def _axis(seconds: float) -> list[tuple[float, str]]:
    """Places of round times in percent, and their labels, which must fit in before the end."""
    places = [(100 * at / seconds, format_seconds(at)) for at in time_ticks(seconds)]
    return [(percent, label if percent < 92 else "") for percent, label in places]


def _corpus_view(
    folder: Path, evaluation: Evaluation, corpus: Corpus, decks: Sequence[Deck]
) -> dict[str, Any]:
    reference = paper.find_corpus(corpus.name, corpus.split)
    return {
        "corpus": corpus,
        "length": format_seconds(corpus.seconds),
        "paper": reference,
        "table": tables.corpus_table(evaluation, corpus),
        "plots": plots(corpus, evaluation.metrics, evaluation.rows),
        "decks": decks,
        **_all_songs(folder, evaluation, corpus),
    }


def _all_songs(folder: Path, evaluation: Evaluation, corpus: Corpus) -> dict[str, Any]:
    """Every song with the scores of the first row and links to all of its audio."""
    row = evaluation.rows[0] if evaluation.rows else None
    columns = [
        (metric, [_song_score(song, row.name, metric) for song in corpus.per_song])
        for metric in evaluation.metrics
        if row is not None
    ]
    columns = [(metric, values) for metric, values in columns if any(v is not None for v in values)]
    lines = []
    for place, song in enumerate(corpus.per_song):
        cells = [format_number(values[place], column_decimals(values)) for _, values in columns]
        links = song_links(folder, song, evaluation.rows)
        lines.append((song.name, format_seconds(song.seconds), cells, links))
    titles = [tables.with_arrow(metric.title, metric.better) for metric, _ in columns]
    return {"song_columns": titles, "song_lines": lines, "scored_row": row}


def _song_score(song: Song, row: str, metric: Metric) -> float | None:
    return song.scores.get(row, {}).get(metric.name)


def _speed_line(evaluation: Evaluation) -> str:
    measured = [
        f"{part} {format_number(value, column_decimals([value]))}"
        for part, value in evaluation.speed.items()
        if value is not None
    ]
    if not measured:
        return ""
    note = f" ({evaluation.speed_note})" if evaluation.speed_note else ""
    return f"Measured here: {', '.join(measured)}{note}."


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings, however nested, as lines of name and value."""
    lines: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            lines.append((f"{prefix}{name}", text))
    return lines
