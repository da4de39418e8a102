"""Page of a report, which opens in a browser without a server."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spectrodiff.core.files import atomic_file
from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.results import (
    CorpusResults,
    ResultRow,
    Results,
    SongResults,
    read_results,
)
from spectrodiff.report import beside_paper, explanations, header, paper, tables
from spectrodiff.report.formatting import (
    decimals_by_column,
    format_number,
    format_seconds,
    time_ticks,
)
from spectrodiff.report.markdown import markdown_table
from spectrodiff.report.media import (
    Strip,
    choose_songs,
    draw_strips,
    frequency_labels,
    song_links,
)
from spectrodiff.report.plots import corpus_plots, mark_svg
from spectrodiff.report.rows import main_row, row_styles

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class Deck:
    """Player of a song with all of its rows.

    Attributes:
        song: results of the song.
        reason: reason why it was chosen.
        strips: its rows.
        seconds: length of the longest row.
        ticks: ticks of the time axis: distance from the left in percent, and label.
        frequencies: labels of the frequency axis: height in percent, and label.
    """

    song: SongResults
    reason: str
    strips: Sequence[Strip]
    seconds: float
    ticks: Sequence[tuple[float, str]]
    frequencies: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class SongLine:
    """Line of the table of all songs: name, length, scores and URLs of the audio by row."""

    name: str
    length: str
    scores: Sequence[str]
    links: Mapping[str, str]


@dataclass(frozen=True)
class CorpusView:
    """Section of the page on one corpus.

    Attributes:
        corpus: results of the corpus.
        length: length of all recordings.
        paper: the same corpus in the paper, if there is one.
        table: scores by column and row.
        plots: plots of minutes and of songs.
        decks: songs with spectrograms.
        song_columns: headings of the scores in the table of all songs.
        song_lines: lines of the table of all songs.
        scored_row: row whose scores are in that table.
    """

    corpus: CorpusResults
    length: str
    paper: paper.PaperCorpus | None
    table: tables.Table
    plots: Mapping[str, list[tuple[Column, str]]]
    decks: Sequence[Deck]
    song_columns: Sequence[tables.Heading]
    song_lines: Sequence[SongLine]
    scored_row: ResultRow | None


def write_report(folder: Path, *, songs_per_corpus: int = 3) -> Path:
    """Writes the report on an evaluation into its folder.

    Args:
        folder: folder of `scores.json` and of the audio that it names.
        songs_per_corpus: number of songs with spectrograms, from the best to the worst.

    Returns:
        The page, `index.html`; beside it are `table.md` and the folder `pictures`.

    Raises:
        ReportError: if `scores.json` is missing or damaged.
        AudioError: if audio that it names is missing or cannot be read.
        OutputError: if the folder is not writable.
    """
    folder = Path(folder)
    results = read_results(folder)
    decks = _decks(folder, results, songs_per_corpus)
    corpora = [
        _corpus_view(folder, results, corpus, of_corpus)
        for corpus, of_corpus in zip(results.corpora, decks, strict=True)
    ]
    drawn = {folder / strip.picture for few in decks for deck in few for strip in deck.strips}
    for stale in set((folder / "pictures").glob("*-*-*.png")) - drawn:
        stale.unlink()
    beside = beside_paper.stands_beside(results)
    theirs = beside_paper.has_paper_corpora(results)
    page = render(
        "report.html",
        with_arrow=tables.with_arrow,
        results=results,
        rows_made=header.how_rows_were_made(results),
        protocol=header.protocol(results),
        warnings=explanations.warnings(results),
        summary=tables.summary_table(results) if beside else None,
        measured=tables.measured_table(results, without_paper=beside),
        paper_table=tables.paper_table(results) if theirs and not beside else None,
        comparison=beside_paper.comparison_note(results) if theirs else "",
        missing=explanations.missing_groups(results),
        definitions=explanations.definitions(tables.ordered(results.columns)),
        listeners=explanations.LISTENERS,
        settings=_flat(results.settings),
        speed=_speed_line(results),
        legend=[
            (row, mark_svg(style))
            for style, row in zip(row_styles(results.rows), results.rows, strict=True)
        ],
        corpora=corpora,
    )
    with atomic_file(folder / "table.md") as file:
        file.write_text(markdown_table(results), encoding="utf-8", errors="replace")
    index = folder / "index.html"
    with atomic_file(index) as file:
        file.write_text(page, encoding="utf-8", errors="replace")
    return index


def render(template: str, **values: object) -> str:
    """Fills a template of this package; values are escaped unless the template marks them safe."""
    return _environment().get_template(template).render(policy=content_policy, **values)


def content_policy(style: str, script: str) -> str:
    """Returns the content security policy of a page: what it may load and run.

    These are the page's own style and script, known by their hashes, and pictures and audio beside
    it. A script that a name smuggled in would not run, and nothing is sent anywhere.
    """
    own_style, own_script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    )
    # Positions on the axes are attributes `style`. Whether files beside a page that was opened
    # without a server are 'self' is left to browsers.
    return (
        f"default-src 'none'; script-src 'sha256-{own_script}'; style-src 'sha256-{own_style}'; "
        "style-src-attr 'unsafe-inline'; img-src 'self' file: data:; media-src 'self' file:; "
        "base-uri 'none'; form-action 'none'"
    )


def _environment() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("spectrodiff.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _decks(folder: Path, results: Results, songs_per_corpus: int) -> list[list[Deck]]:
    """Chooses songs of each corpus and draws their spectrograms."""
    row = main_row(results.rows)
    decimals = decimals_by_column(results)
    chosen = [
        choose_songs(corpus, results.columns, row.name if row else "", decimals, songs_per_corpus)
        for corpus in results.corpora
    ]
    decks: list[list[Deck]] = []
    with Progress("drawing", sum(map(len, chosen)), "song") as progress:
        for number, choices in enumerate(chosen):
            decks.append([])
            for place, choice in enumerate(choices):
                strips = draw_strips(folder, choice.song, results.rows, f"{number}-{place}")
                if strips:
                    seconds = max(strip.seconds for strip in strips)
                    deck = Deck(
                        choice.song,
                        choice.reason,
                        strips,
                        seconds,
                        [(100 * at / seconds, format_seconds(at)) for at in time_ticks(seconds)],
                        frequency_labels(),
                    )
                    decks[-1].append(deck)
                progress.advance()
    return decks


def _corpus_view(
    folder: Path, results: Results, corpus: CorpusResults, decks: Sequence[Deck]
) -> CorpusView:
    row = main_row(results.rows)
    decimals = decimals_by_column(results)
    columns = [
        (column, [song.scores.get(row.name, {}).get(column.name) for song in corpus.per_song])
        for column in tables.ordered(results.columns)
        if row is not None
    ]
    columns = [(column, values) for column, values in columns if any(v is not None for v in values)]
    lines = []
    for place, song in enumerate(corpus.per_song):
        scores = [format_number(values[place], decimals[column.name]) for column, values in columns]
        links = song_links(folder, song, results.rows)
        lines.append(SongLine(song.name, format_seconds(song.seconds), scores, links))
    return CorpusView(
        corpus=corpus,
        length=format_seconds(corpus.seconds),
        paper=paper.find_corpus(corpus.name, corpus.split),
        table=tables.corpus_table(results, corpus),
        plots=corpus_plots(corpus, results.columns, results.rows, decimals),
        decks=decks,
        song_columns=[
            tables.Heading(
                tables.with_arrow(column.title, column.better), explanations.explain(column.name)
            )
            for column, _ in columns
        ],
        song_lines=lines,
        scored_row=row,
    )


def _speed_line(results: Results) -> str:
    speed = results.speed
    if speed is None:
        return ""
    parts = {"features": speed.features, "inversion": speed.inversion, "both": speed.both}
    decimals = decimals_by_column(results)[paper.REAL_TIME]
    measured = [
        f"{part} {format_number(value, decimals)}"
        for part, value in parts.items()
        if value is not None
    ]
    if not measured:
        return ""
    note = f" ({speed.note})" if speed.note else ""
    return f"Measured here: {', '.join(measured)}{note}."


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Returns settings, nested to any depth, as pairs of name and value."""
    lines: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            lines.append((f"{prefix}{name}", text))
    return lines
