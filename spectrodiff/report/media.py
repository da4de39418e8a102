"""Audio of a report: choice of the songs with spectrograms, and addresses of the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np

from spectrodiff.audio.files import read_audio
from spectrodiff.core.constants import MIN_LOG_MEL, SAMPLE_RATE
from spectrodiff.core.errors import AudioError, ReportError
from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.results import CorpusResults, ResultRow, SongResults
from spectrodiff.report.formatting import format_number
from spectrodiff.report.plots import song_scores
from spectrodiff.report.rows import row_styles

# Columns that songs are chosen by; the first that has scores counts. Embeddings come first, since a
# distance of signals can be large where little can be heard.
_CHOOSE_BY = (
    "trill_reconstruction",
    "vggish_reconstruction",
    "log_mel_statistics_reconstruction",
    "spectral_distance",
    "log_mel_l1",
    "transcription_f1_full",
)

_FREQUENCIES_HZ = {100: "100", 500: "500", 1000: "1k", 2000: "2k", 4000: "4k", 8000: "8k"}
# Percentiles of all spectrograms of a song that the darkest and the brightest color stand for: the
# loudest half percent and the quietest twentieth would cost the rest its contrast.
_DARKEST_PERCENTILE, _BRIGHTEST_PERCENTILE = 5.0, 99.5
_LEAST_RANGE = 3.0  # so that noise in near silence does not fill the scale


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
        css_class: class that sets its color.
        audio: address of the audio, relative to the report.
        picture: address of the spectrogram.
        seconds: length of the audio.
        width_percent: width of the spectrogram in percent of the longest audio of the song.
    """

    row: ResultRow
    css_class: str
    audio: str
    picture: str
    seconds: float
    width_percent: float


def choose_songs(
    corpus: CorpusResults,
    columns: Sequence[Column],
    row: str,
    decimals: Mapping[str, int],
    count: int = 3,
) -> list[Choice]:
    """Chooses songs with audio from best to worst, evenly spaced in rank.

    Args:
        corpus: results of the corpus.
        columns: columns of the tables.
        row: name of the row whose scores count.
        decimals: decimals of each column.
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
    choices = []
    for place in places:
        song = ranked[place]
        score = f"{column.title} {format_number(values[song.name], decimals[column.name])}"
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

    styles = dict(zip((row.name for row in rows), row_styles(rows), strict=True))
    shown = [row for row in rows if row.name in song.media]
    if not shown:
        return []
    spectrograms, lengths = [], []
    for row in shown:
        audio = read_audio(media_file(folder, song.media[row.name]), SAMPLE_RATE)
        spectrograms.append(blockwise_log_mel(audio))
        lengths.append(len(audio) / SAMPLE_RATE)
    log_range = _color_range(spectrograms)
    strips = []
    for number, (row, log_mel) in enumerate(zip(shown, spectrograms, strict=True)):
        picture = f"pictures/{stem}-{number}.png"
        covered = write_bare_spectrogram(folder / picture, log_mel, log_range=log_range)
        url, width = media_url(song.media[row.name]), 100 * covered / max(lengths)
        css_class = styles[row.name].css_class
        strips.append(Strip(row, css_class, url, picture, lengths[number], width))
    return strips


def frequency_labels() -> list[tuple[float, str]]:
    """Returns labels of frequencies, with their heights in percent of a spectrogram's."""
    from spectrodiff.audio.pictures import frequency_height

    return [(100 * frequency_height(hz), label) for hz, label in _FREQUENCIES_HZ.items()]


def song_links(folder: Path, song: SongResults, rows: Sequence[ResultRow]) -> Mapping[str, str]:
    """Returns the URLs of a song's audio by title of the row, for rows that have audio."""
    links = {}
    for row in rows:
        if row.name in song.media:
            media_file(folder, song.media[row.name])
            links[row.title] = media_url(song.media[row.name])
    return links


def _color_range(spectrograms: Sequence[np.ndarray]) -> tuple[float, float]:
    """Returns the color scale that the spectrograms of a song share, so that they compare."""
    values = np.concatenate([log_mel.ravel() for log_mel in spectrograms])
    # Digital silence is as dark as can be anyway.
    sounding = values[values > MIN_LOG_MEL + 1e-3]
    if not len(sounding):
        return MIN_LOG_MEL, MIN_LOG_MEL + _LEAST_RANGE
    low, high = np.percentile(sounding, (_DARKEST_PERCENTILE, _BRIGHTEST_PERCENTILE))
    return float(min(low, high - _LEAST_RANGE)), float(high)


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
