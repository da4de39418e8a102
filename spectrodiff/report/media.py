"""Audio of a report: choice of the songs with spectrograms, and addresses of the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np

from spectrodiff.audio.files import read_audio
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError, ReportError
from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.results import CorpusResults, ResultRow, SongResults
from spectrodiff.report.formatting import column_decimals, format_number
from spectrodiff.report.plots import song_scores

# Columns that songs are chosen by; the first that has scores counts. Those that agree best with
# listeners come first.
_CHOOSE_BY = (
    "trill_reconstruction",
    "vggish_reconstruction",
    "log_mel_statistics_reconstruction",
    "spectral_distance",
    "log_mel_l1",
    "transcription_f1_full",
)


@dataclass(frozen=True)
class Choice:
    """Song to show with spectrograms, and the reason why it was chosen."""

    song: SongResults
    reason: str


@dataclass(frozen=True)
class Strip:
    """Audio and spectrogram of one row of a song.

    Attributes:
        row: the row.
        number: number of the row, which sets its color.
        audio: address of the audio, relative to the report.
        picture: address of the spectrogram.
        seconds: length of the audio.
        width_percent: width of the spectrogram in percent of the longest audio of the song.
    """

    row: ResultRow
    number: int
    audio: str
    picture: str
    seconds: float
    width_percent: float


def choose_songs(
    corpus: CorpusResults, columns: Sequence[Column], row: str, count: int = 3
) -> list[Choice]:
    """Chooses songs with audio from best to worst, evenly spaced in rank.

    Args:
        corpus: results of the corpus.
        columns: columns of the tables.
        row: name of the row whose scores count.
        count: maximum number of songs.
    """
    audible = [song for song in corpus.per_song if song.media]
    column = _ranking_column(corpus, columns, row)
    if column is None:
        return [Choice(song, "") for song in audible[:count]]
    values = dict(song_scores(corpus, row, column.name))
    sign = 1 if column.better == "lower" else -1
    ranked = sorted(
        (song for song in audible if song.name in values), key=lambda song: sign * values[song.name]
    )
    if not ranked:
        return [Choice(song, "") for song in audible[:count]]
    places = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int))
    decimals = column_decimals(values.values())
    choices = []
    for place in places:
        song = ranked[place]
        score = f"{column.title} {format_number(values[song.name], decimals)}"
        choices.append(Choice(song, f"{_rank(int(place), len(ranked))}: {score}"))
    return choices


def media_file(folder: Path, address: str) -> Path:
    """Returns the file of a relative address in `scores.json`.

    Raises:
        ReportError: if the address leads out of the folder.
        AudioError: if there is no such file.
    """
    path = PurePosixPath(address)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ReportError(folder, "audio inside this folder", repr(address))
    file = folder / path
    if not file.is_file():
        raise AudioError(file, "audio that the evaluation wrote", "no such file")
    return file


def media_url(address: str) -> str:
    """Returns the relative URL of a file, with all special characters quoted."""
    # Without "./" a colon in the first folder would end a scheme.
    return "./" + quote(str(PurePosixPath(address)), errors="surrogateescape")


def draw_strips(
    folder: Path, song: SongResults, rows: Sequence[ResultRow], stem: str
) -> list[Strip]:
    """Draws the spectrogram of each row of a song that has audio.

    Args:
        folder: folder of the report.
        song: results of the song.
        rows: rows to show, in this order.
        stem: first part of the names of the pictures, which are stored in `pictures/`.

    Raises:
        ReportError: if the address of the audio leads out of the folder.
        AudioError: if the audio is missing or cannot be read.
    """
    # These import JAX, which commands that only read results do not need.
    from spectrodiff.audio.pictures import write_bare_spectrogram
    from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel

    drawn: list[tuple[int, ResultRow, str, float, float]] = []
    for number, row in enumerate(rows):
        if row.name not in song.media:
            continue
        audio = read_audio(media_file(folder, song.media[row.name]), SAMPLE_RATE)
        picture = f"pictures/{stem}-{number}.png"
        covered = write_bare_spectrogram(folder / picture, blockwise_log_mel(audio))
        drawn.append((number, row, picture, len(audio) / SAMPLE_RATE, covered))
    longest = max((seconds for *_, seconds, _ in drawn), default=0.0)
    return [
        Strip(
            row, number, media_url(song.media[row.name]), picture, seconds, 100 * covered / longest
        )
        for number, row, picture, seconds, covered in drawn
    ]


def song_links(folder: Path, song: SongResults, rows: Sequence[ResultRow]) -> Mapping[str, str]:
    """Returns the URLs of a song's audio by title of the row, for rows that have audio."""
    links = {}
    for row in rows:
        if row.name in song.media:
            media_file(folder, song.media[row.name])
            links[row.title] = media_url(song.media[row.name])
    return links


def _ranking_column(corpus: CorpusResults, columns: Sequence[Column], row: str) -> Column | None:
    """Returns the column to rank songs by: one with scores of two songs or more, else None."""
    scored = [column for column in columns if len(song_scores(corpus, row, column.name)) > 1]
    by_name = {column.name: column for column in scored}
    known = [by_name[name] for name in _CHOOSE_BY if name in by_name]
    return next(iter([*known, *scored]), None)


def _rank(place: int, count: int) -> str:
    if place == 0:
        return "Best" if count > 1 else "The only song"
    if place == count - 1:
        return "Worst"
    if abs(place - (count - 1) / 2) < 1:
        return "Median"
    return f"{place + 1} of {count}"
