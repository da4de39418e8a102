"""Schema of `scores.json`: what an evaluation writes and a report reads.

Imports no library that computes, so that a report starts fast. Scores are nested mappings, from the
name of a row to the name of a column to the score.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.dataclass_json import json_name, read_dataclass, write_dataclass

FILE_NAME = "scores.json"
FORMAT = 1


@dataclass(frozen=True)
class ResultRow:
    """Row of the tables: the model in one configuration, or a reference.

    Attributes:
        name: identifier.
        title: title in tables.
        source: source of the audio: "model", or the kind of a reference, such as "encoded" or
            "raw".
    """

    name: str
    title: str
    source: str = "model"

    @property
    def is_reference(self) -> bool:
        """True if no model is behind the row."""
        # Older files name no source.
        return self.source != "model" or self.name.split("_")[0] in ("encoded", "raw")


@dataclass(frozen=True)
class MissingColumn:
    """Column that stays empty.

    Attributes:
        column: name of the column.
        file: weights that it needs, as given in the settings.
        published: address where these weights are published.
        reason: reason why the column is empty.
    """

    column: str = field(metadata=json_name("metric"))
    file: str = ""
    published: str = ""
    reason: str = ""


@dataclass(frozen=True)
class CorpusScore:
    """Score of a corpus.

    Attributes:
        value: the score; None if there is none.
        low: lower end of its 95 % confidence interval; None if there is no interval.
        high: upper end of the interval.
        extrapolated: Frechet distance without the bias of a finite number of frames.
        frames: number of embedding frames behind the score.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    extrapolated: float | None = None
    frames: int | None = None


@dataclass(frozen=True)
class SongResults:
    """Scores of a song.

    Attributes:
        name: id of the recording.
        seconds: length of the recording.
        scores: score of the whole song by row and column.
        minutes: scores of its minutes by row and column; None for a minute without a score.
        media: address of the audio file by row, relative to the folder of the evaluation.
        checksum: checksum of the recording, as far as it was evaluated, and of its notes; "" in
            older files.
    """

    name: str = field(metadata=json_name("song"))
    seconds: float = 0.0
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    minutes: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    media: Mapping[str, str] = field(default_factory=dict)
    checksum: str = ""


@dataclass(frozen=True)
class CorpusResults:
    """Scores of a corpus.

    Attributes:
        name: "corpus/config".
        split: name of the split.
        songs: number of songs that were scored.
        asked: number of songs that were asked for.
        seconds: total length of the recordings.
        scores: score of the corpus by row and column.
        per_song: scores of its songs.
    """

    name: str
    split: str
    songs: int
    asked: int
    seconds: float
    scores: Mapping[str, Mapping[str, CorpusScore]]
    per_song: Sequence[SongResults]

    @property
    def title(self) -> str:
        """Name and split."""
        return f"{self.name}, {self.split}" if self.split else self.name


@dataclass(frozen=True)
class Speed:
    """Rendering speed in seconds of audio per second of wall time.

    Attributes:
        features: speed of the model; None for a row without a model.
        inversion: speed of the inverter.
        both: speed of model and inverter together.
        note: conditions of the measurement.
    """

    features: float | None = None
    inversion: float | None = None
    both: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Results:
    """Contents of `scores.json`.

    Attributes:
        title: title of the report.
        model: name of the model; "" if there is none.
        created: local time, in the format of ISO 8601.
        device: devices that the evaluation ran on.
        settings: settings of the evaluation, and what its protocol takes from the model.
        rows: rows of the tables.
        columns: columns of the tables, those of the paper first.
        missing: columns that stay empty.
        corpora: scores of the corpora.
        mean: mean over corpora by row and column.
        speed: speed of the first row with a model, else of the first row that was timed.
        speeds: speed by row.
    """

    title: str = "Evaluation"
    model: str
    created: str = ""
    device: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    rows: Sequence[ResultRow] = ()
    columns: Sequence[Column] = field(default=(), metadata=json_name("metrics"))
    missing: Sequence[MissingColumn] = ()
    corpora: Sequence[CorpusResults] = ()
    mean: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    speed: Speed | None = None
    speeds: Mapping[str, Speed] = field(default_factory=dict)


def read_results(folder: str | os.PathLike[str]) -> Results:
    """Reads `scores.json` from the folder of an evaluation.

    Raises:
        ReportError: if it is missing, not JSON, of another format, or lacks an entry.
    """
    return read_dataclass(Results, Path(folder) / FILE_NAME, FORMAT, "the scores of an evaluation")


def write_results(folder: Path, results: Results) -> None:
    """Writes `scores.json` to the folder of an evaluation, complete or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    write_dataclass(folder / FILE_NAME, results, FORMAT)
