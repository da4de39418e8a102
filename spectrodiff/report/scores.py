"""What an evaluation found, read from its `scores.json` and checked."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from spectrodiff.core.errors import ReportError

FILE_NAME = "scores.json"
FORMAT = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """What is compared with the recordings: the model, or one of the references."""

    name: str
    title: str


@dataclass(frozen=True)
class Metric:
    """A score; `better` is "lower" or "higher", `paper` says whether the paper reports it."""

    name: str
    title: str
    better: str
    paper: bool


@dataclass(frozen=True)
class Missing:
    """A score that could not be computed, the file it needs and where that is published."""

    metric: str
    file: str
    published: str
    reason: str


@dataclass(frozen=True)
class Score:
    """A score of a corpus.

    Attributes:
        value: the score; None if there is none.
        low: lower end of its interval, if it has one.
        high: upper end.
        extrapolated: a Frechet distance without the bias of a finite number of frames.
        frames: how many frames of the embedding a Frechet distance is of.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    extrapolated: float | None = None
    frames: int | None = None


@dataclass(frozen=True)
class Song:
    """A song: row -> metric -> score, the same for each minute, and row -> audio file."""

    name: str
    seconds: float
    scores: Mapping[str, Mapping[str, float | None]]
    minutes: Mapping[str, Mapping[str, Sequence[float | None]]]
    media: Mapping[str, str]


@dataclass(frozen=True)
class Corpus:
    """A corpus: how many songs were scored of how many asked for, and row -> metric -> score."""

    name: str
    split: str
    songs: int
    asked: int
    seconds: float
    scores: Mapping[str, Mapping[str, Score]]
    per_song: Sequence[Song]

    @property
    def title(self) -> str:
        """Name and split."""
        return f"{self.name}, {self.split}" if self.split else self.name


@dataclass(frozen=True)
class Evaluation:
    """All that `scores.json` holds; `mean` is row -> metric -> mean over the corpora."""

    title: str
    model: str
    created: str
    device: str
    settings: Mapping[str, Any]
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    missing: Sequence[Missing]
    corpora: Sequence[Corpus]
    mean: Mapping[str, Mapping[str, float | None]]
    speed: Mapping[str, float | None]
    speed_note: str

    @property
    def warnings(self) -> list[str]:
        """What a reader has to know before reading any number."""
        lines = [
            f"{corpus.title}: scores of {corpus.songs} of {corpus.asked} songs"
            for corpus in self.corpora
            if corpus.songs != corpus.asked
        ]
        for corpus in self.corpora:
            if corpus.songs == 1:
                lines.append(f"{corpus.title}: one song only, so no score has an interval")
        return lines


def read_scores(folder: str | os.PathLike[str]) -> Evaluation:
    """Reads the `scores.json` of a folder that an evaluation wrote.

    Raises:
        ReportError: if it is missing, not JSON, of another format, or lacks something.
    """
    path = Path(folder) / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(path, "the scores of an evaluation", "no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(path, "the scores of an evaluation", str(error)) from None
    return parse_scores(content, str(path))


def parse_scores(content: object, subject: str = FILE_NAME) -> Evaluation:
    """Checks what `scores.json` holds.

    Args:
        content: the parsed JSON.
        subject: the file's name, for error messages.

    Raises:
        ReportError: if it is of another format, or lacks something.
    """
    entry = _Entry(content, subject)
    if entry.fields.get("format") != FORMAT:
        got = repr(entry.fields.get("format"))
        raise ReportError(f"{subject}: format", str(FORMAT), got)
    speed = _Entry(entry.fields.get("speed") or {}, f"{subject}: speed")
    return Evaluation(
        title=entry.text("title", "Evaluation"),
        model=entry.text("model"),
        created=entry.text("created", ""),
        device=entry.text("device", ""),
        settings=entry.child("settings").fields,
        rows=entry.list("rows", lambda row: Row(row.text("name"), row.text("title"))),
        metrics=entry.list("metrics", _metric),
        missing=entry.list("missing", _missing),
        corpora=entry.list("corpora", _corpus),
        mean=entry.map("mean", _numbers),
        speed={name: speed.number(name) for name in ("features", "inversion", "both")},
        speed_note=speed.text("note", ""),
    )


class _Entry:
    """A JSON object whose entries are read with the type they must have."""

    def __init__(self, fields: object, where: str) -> None:
        if not isinstance(fields, dict):
            raise ReportError(where, "an object", _kind(fields))
        self.fields: dict[str, Any] = fields
        self.where = where

    def text(self, name: str, default: str | None = None) -> str:
        value = self.fields.get(name, default)
        if value is None and default is not None:
            value = default
        if not isinstance(value, str):
            raise ReportError(f"{self.where}.{name}", "a text", _kind(value))
        return value

    def number(self, name: str) -> float | None:
        """None for what is absent, null or not finite."""
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ReportError(f"{self.where}.{name}", "a number", _kind(value))
        return float(value) if math.isfinite(value) else None

    def count(self, name: str, default: int | None = None) -> int:
        value = self.fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ReportError(f"{self.where}.{name}", "a whole number >= 0", repr(value))
        return value

    def child(self, name: str) -> "_Entry":
        return _Entry(self.fields.get(name) or {}, f"{self.where}.{name}")

    def map(self, name: str, read: Callable[["_Entry"], T]) -> dict[str, T]:
        child = self.child(name)
        return {key: read(child.child(key)) for key in child.fields}

    def list(self, name: str, read: Callable[["_Entry"], T]) -> list[T]:
        value = self.fields.get(name) or []
        if not isinstance(value, list):
            raise ReportError(f"{self.where}.{name}", "a list", _kind(value))
        return [
            read(_Entry(item, f"{self.where}.{name}[{number}]"))
            for number, item in enumerate(value)
        ]


def _metric(entry: _Entry) -> Metric:
    better = entry.text("better", "lower")
    if better not in ("lower", "higher"):
        raise ReportError(f"{entry.where}.better", "lower or higher", repr(better))
    name = entry.text("name")
    return Metric(name, entry.text("title", name), better, bool(entry.fields.get("paper")))


def _missing(entry: _Entry) -> Missing:
    return Missing(*(entry.text(name, "") for name in ("metric", "file", "published", "reason")))


def _corpus(entry: _Entry) -> Corpus:
    songs = entry.count("songs")
    return Corpus(
        name=entry.text("name"),
        split=entry.text("split", ""),
        songs=songs,
        asked=entry.count("asked", songs),
        seconds=entry.number("seconds") or 0.0,
        scores=entry.map("scores", lambda row: {name: _score(row, name) for name in row.fields}),
        per_song=entry.list("per_song", _song),
    )


def _score(row: _Entry, name: str) -> Score:
    entry = row.child(name)
    value, low, high, extrapolated = map(entry.number, ("value", "low", "high", "extrapolated"))
    frames = None if entry.fields.get("frames") is None else entry.count("frames")
    return Score(value, low, high, extrapolated, frames)


def _song(entry: _Entry) -> Song:
    return Song(
        name=entry.text("song"),
        seconds=entry.number("seconds") or 0.0,
        scores=entry.map("scores", _numbers),
        minutes=entry.map("minutes", _lists_of_numbers),
        media=_texts(entry.child("media")),
    )


def _numbers(entry: _Entry) -> dict[str, float | None]:
    return {name: entry.number(name) for name in entry.fields}


def _texts(entry: _Entry) -> dict[str, str]:
    return {name: entry.text(name) for name in entry.fields}


def _lists_of_numbers(entry: _Entry) -> dict[str, list[float | None]]:
    lists = {}
    for name, values in entry.fields.items():
        if not isinstance(values, list):
            raise ReportError(f"{entry.where}.{name}", "a list of numbers", _kind(values))
        numbered = _Entry({str(k): value for k, value in enumerate(values)}, entry.where)
        lists[name] = [numbered.number(key) for key in numbered.fields]
    return lists


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), repr(value))
