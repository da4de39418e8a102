"""The folder of an evaluation: what lies where, and whether it is of the same evaluation.

    evaluation.json                      how the audio of each row came about
    media/CORPUS/CONFIG/SONG/song.json   which recording it is
                             ROW.flac    audio of a row
                             ROW.json    its scores
                             ROW.*.npy   its embeddings; recording.*.npy: of the true audio
    features/KEY/CORPUS/CONFIG/SONG.npy  what a model drew, for one way of drawing
    speed.json, scores.json              results

Files appear complete or not at all, and what is there is not made again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.audio.files import read_audio, write_audio
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError, ConfigError
from spectrodiff.core.files import atomic_file, check_writable
from spectrodiff.core.json_files import read_json
from spectrodiff.evaluation import checksums
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.settings import RECORDING, Row
from spectrodiff.evaluation.songs import EvaluationCorpus, EvaluationSong, folder_name

FORMAT = 1
EVALUATION, SCORES, SPEED, MEDIA = "evaluation.json", "scores.json", "speed.json", "media"

Scores = Mapping[str, Score]  # by metric


@dataclass(frozen=True)
class SongFiles:
    """The files of one song.

    Attributes:
        root: the evaluation's folder.
        corpus: "corpus/config".
        song: the recording's id.
    """

    root: Path
    corpus: str
    song: str

    @property
    def folder(self) -> Path:
        """Where its audio and scores lie."""
        return self.root / MEDIA / self.corpus / folder_name(self.song)

    def audio(self, row: Row) -> Path:
        """Audio of a row."""
        return self.folder / f"{row.name}.flac"

    def features(self, key: str) -> Path:
        """Features drawn by a model, float32 [frames, 128], unscaled."""
        return self.root / "features" / key / self.corpus / f"{folder_name(self.song)}.npy"

    def read_audio(self, row: Row) -> np.ndarray:
        """What is scored: always what was stored, in 16 bits, float32 [samples]."""
        return read_audio(self.audio(row), SAMPLE_RATE)

    def write_audio(self, row: Row, audio: np.ndarray) -> None:
        """Stores float [samples] of a row."""
        write_audio(self.audio(row), audio, SAMPLE_RATE)

    def embedding(self, row: Row | None, scorer: str) -> Path:
        """Embedding of a row's audio, or of the true audio."""
        name = RECORDING if row is None or row.source == "raw" else row.name
        return self.folder / f"{name}.{scorer}.npy"

    def read_scores(self, row: Row) -> dict[str, dict[str, Score]]:
        """By scorer and metric; empty if there are none yet."""
        path = self.folder / f"{row.name}.json"
        if not path.is_file():
            return {}
        stored = read_json(path)
        return {
            scorer: {metric: Score(*score) for metric, score in scores.items()}
            for scorer, scores in stored.items()
        }

    def write_scores(self, row: Row, scores: Mapping[str, Scores]) -> None:
        """Replaces what was there."""
        write_json(self.folder / f"{row.name}.json", scores)

    def claim(self, song: EvaluationSong) -> None:
        """Notes down which recording the folder is of.

        Raises:
            ConfigError: if it is of another.
        """
        path, found = self.folder / "song.json", {"id": song.id, "checksum": song.checksum}
        if path.is_file() and read_json(path) != found:
            expected = "the recording and notes that were rendered before (or another --out)"
            raise ConfigError(f"{self.corpus}: {song.id}", expected, "others")
        write_json(path, found)


def files_of(root: Path, corpus: EvaluationCorpus, song: EvaluationSong) -> SongFiles:
    """The files of a song of a corpus."""
    return SongFiles(root, corpus.name, song.id)


def open_store(
    folder: Path,
    rows: Mapping[str, Mapping[str, Any]],
    corpora: Sequence[EvaluationCorpus],
    *,
    write: bool,
) -> None:
    """Begins an evaluation, or goes on with the one in the folder.

    Args:
        folder: made if it does not exist.
        rows: how the audio of each row comes about, by its name (see `rendering.describe`).
        corpora: what is evaluated.
        write: False for all processes but one.

    Raises:
        ConfigError: if the folder holds audio that came about in another way, or other things.
        OutputError: if it cannot be written to.
    """
    path = folder / EVALUATION
    now: dict[str, Any] = {
        "format": FORMAT,
        "rows": dict(rows),
        "corpora": {
            corpus.name: {"split": corpus.split, "max_minutes": corpus.max_minutes}
            for corpus in corpora
        },
    }
    if path.is_file():
        before = read_json(path)
        for kind in ("rows", "corpora"):
            known = before.get(kind, {})
            for name in now[kind]:
                if name in known:
                    _check_same(path, name, known[name], now[kind][name])
            now[kind] = {**known, **now[kind]}
    elif write and folder.is_dir() and any(folder.iterdir()):
        expected = "a new or empty folder, or that of an evaluation"
        raise ConfigError(str(folder), expected, f"one without {EVALUATION}")
    if write:
        check_writable(folder)
        write_json(path, now)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, complete or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an array, complete or not at all."""
    with atomic_file(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def read_array(path: Path) -> np.ndarray:
    """Reads what `write_array` wrote.

    Raises:
        AudioError: if it is missing or damaged.
    """
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AudioError(path, "a stored array", str(error)) from None
    return array


def feature_key(description: Mapping[str, Any]) -> str:
    """Names what a model drew: rows that differ in the inverter alone share it."""
    return checksums.of_json({k: v for k, v in description.items() if k != "inverter"})


def _check_same(path: Path, name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for setting in sorted(before.keys() | now.keys()):
        if before.get(setting) != now.get(setting):
            raise ConfigError(
                f"{path}: {setting} of {name}",
                f"{before.get(setting)}, of which the audio there is (or another --out)",
                str(now.get(setting)),
            )
