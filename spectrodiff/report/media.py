"""Audio of a report: which songs are shown with pictures, and where their files lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np

from spectrodiff.audio.features import cut_segment, segment_log_mel
from spectrodiff.audio.files import read_audio
from spectrodiff.audio.pictures import write_bare_spectrogram
from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.errors import AudioError, ReportError
from spectrodiff.report.formatting import column_decimals, format_number
from spectrodiff.report.plots import song_scores
from spectrodiff.report.scores import Corpus, Metric, Row, Song

# By which score songs are chosen, the first that there is: what the ear agrees with comes first.
_CHOOSE_BY = (
    "trill_reconstruction",
    "vggish_reconstruction",
    "log_mel_statistics_reconstruction",
    "spectral_distance",
    "log_mel_l1",
    "transcription_f1_full",
)
_BLOCK_FRAMES = 512


@dataclass(frozen=True)
class Choice:
    """A song to be shown, and why it was chosen."""

    song: Song
    reason: str


@dataclass(frozen=True)
class Strip:
    """One row of a song: its audio file's address and its picture's.

    Attributes:
        row: the row.
        number: of the row, for its colour.
        audio: address of the audio, relative to the report.
        picture: address of the picture.
        seconds: of the audio.
        width_percent: of the picture, on a time axis as long as the song's longest audio.
    """

    row: Row
    number: int
    audio: str
    picture: str
    seconds: float
    width_percent: float


def choose_metric(corpus: Corpus, metrics: Sequence[Metric], row: str) -> Metric | None:
    """The score to choose songs by: one that at least two songs have, else None."""
    scored = [metric for metric in metrics if len(song_scores(corpus, row, metric.name)) > 1]
    by_name = {metric.name: metric for metric in scored}
    known = [by_name[name] for name in _CHOOSE_BY if name in by_name]
    return next(iter([*known, *scored]), None)


def choose_songs(
    corpus: Corpus, metrics: Sequence[Metric], row: str, count: int = 3
) -> list[Choice]:
    """Songs from best to worst, evenly apart in rank; only songs that can be heard.

    Args:
        corpus: the corpus.
        metrics: the scores there are.
        row: whose score counts.
        count: how many songs at most.
    """
    audible = [song for song in corpus.per_song if song.media]
    metric = choose_metric(corpus, metrics, row)
    if metric is None:
        return [Choice(song, "") for song in audible[:count]]
    values = dict(song_scores(corpus, row, metric.name))
    sign = 1 if metric.better == "lower" else -1
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
        score = f"{metric.title} {format_number(values[song.name], decimals)}"
        choices.append(Choice(song, f"{_rank(int(place), len(ranked))}: {score}"))
    return choices


def media_file(folder: Path, address: str) -> Path:
    """The file that a relative address in `scores.json` names.

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
    """The relative URL of a file, whatever characters its name has."""
    # "./" keeps a first folder with a colon from being read as a scheme.
    return "./" + quote(str(PurePosixPath(address)), errors="surrogateescape")


def draw_strips(
    folder: Path, song: Song, rows: Sequence[Row], stem: str, max_width: int = 2400
) -> list[Strip]:
    """Draws the spectrogram of each row of a song that has audio.

    Args:
        folder: of the report.
        song: the song.
        rows: the rows to show, in this order.
        stem: begins the names of the pictures, which lie in `pictures/`.
        max_width: of the pictures, in pixels.

    Raises:
        ReportError: if the address of the audio leads out of the folder.
        AudioError: if the audio is missing or cannot be read.
    """
    drawn: list[tuple[int, Row, str, float, float]] = []
    for number, row in enumerate(rows):
        if row.name not in song.media:
            continue
        audio = read_audio(media_file(folder, song.media[row.name]), SAMPLE_RATE)
        picture = f"pictures/{stem}-{number}.png"
        covered = write_bare_spectrogram(folder / picture, _log_mel(audio), max_width)
        drawn.append((number, row, picture, len(audio) / SAMPLE_RATE, covered))
    longest = max((seconds for *_, seconds, _ in drawn), default=0.0)
    return [
        Strip(
            row, number, media_url(song.media[row.name]), picture, seconds, 100 * covered / longest
        )
        for number, row, picture, seconds, covered in drawn
    ]


def song_links(folder: Path, song: Song, rows: Sequence[Row]) -> Mapping[str, str]:
    """Titles of rows -> URLs of their audio, for the rows of a song that have any."""
    links = {}
    for row in rows:
        if row.name in song.media:
            media_file(folder, song.media[row.name])
            links[row.title] = media_url(song.media[row.name])
    return links


def _log_mel(audio: np.ndarray) -> np.ndarray:
    """Spectrogram [frames, 128] of audio [samples], in blocks of one shape: one compilation."""
    num_frames = -(-len(audio) // HOP_SAMPLES)
    blocks = [
        np.asarray(segment_log_mel(cut_segment(audio, start, _BLOCK_FRAMES)))
        for start in range(0, num_frames, _BLOCK_FRAMES)
    ]
    return np.concatenate(blocks)[:num_frames]


def _rank(place: int, count: int) -> str:
    if place == 0:
        return "Best" if count > 1 else "The only song"
    if place == count - 1:
        return "Worst"
    if abs(place - (count - 1) / 2) < 1:
        return "Median"
    return f"{place + 1} of {count}"
