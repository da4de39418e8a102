"""Folder of an evaluation: layout of its files, and the check that it belongs to this evaluation.

    evaluation.json                      description of the audio of each row
    media/CORPUS/CONFIG/SONG/song.json   id and checksum of the recording
                             ROW.flac    audio of a row
                             ROW.json    scores of a row
                             ROW.*.npy   embeddings of a row; recording.*.npy: of the recording
    features/KEY/CORPUS/CONFIG/SONG.npy  features from a model, for one setting of the sampling
    speed.json                           measured speeds
    scores.json                          results (see `results.py`)

Files are either complete or absent, and existing files are not computed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectrodiff.audio.files import read_audio, write_audio
from spectrodiff.core.checksums import json_checksum
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError, ConfigError, first_line
from spectrodiff.core.files import check_writable, file_name, open_regular
from spectrodiff.core.json_files import read_json, write_json
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.protocol import EvaluationSong
from spectrodiff.evaluation.settings import RECORDING, Row
from spectrodiff.evaluation.songs import EvaluationCorpus

FORMAT = 2
EVALUATION, SPEED, MEDIA = "evaluation.json", "speed.json", "media"

# Settings that the audio of a row depends on, as JSON (see `rendering.describe`).
Description = Mapping[str, object]


@dataclass(frozen=True)
class SongFiles:
    """Files of one song.

    Attributes:
        root: folder of the evaluation.
        corpus: "corpus/config".
        song: id of the recording.
    """

    root: Path
    corpus: str
    song: str

    @property
    def folder(self) -> Path:
        """Folder of its audio and scores."""
        return self.root / MEDIA / self.corpus / file_name(self.song)

    def audio(self, row: Row) -> Path:
        """Path of the audio of a row."""
        return self.folder / f"{row.name}.flac"

    def features(self, key: str) -> Path:
        """Path of features from a model, float32 [frames, 128], unscaled."""
        return self.root / "features" / key / self.corpus / f"{file_name(self.song)}.npy"

    def read_audio(self, row: Row) -> np.ndarray:
        """Reads the audio of a row as stored, in 16 bits, float32 [samples]; this is scored."""
        return read_audio(self.audio(row), SAMPLE_RATE)

    def write_audio(self, row: Row, audio: np.ndarray) -> None:
        """Writes the audio of a row, float [samples]."""
        write_audio(self.audio(row), audio, SAMPLE_RATE)

    def embedding(self, row: Row | None, metric: str) -> Path:
        """Path of the embedding of a row's audio; of the recording for None and "raw" rows."""
        name = RECORDING if row is None or row.source == "raw" else row.name
        return self.folder / f"{name}.{metric}.npy"

    def read_scores(self, row: Row) -> dict[str, dict[str, Score]]:
        """Reads the scores of a row by metric and column; empty if there are none yet."""
        path = self.folder / f"{row.name}.json"
        if not path.is_file():
            return {}
        stored = read_json(path)
        return {
            metric: {column: Score(*score) for column, score in scores.items()}
            for metric, scores in stored.items()
        }

    def write_scores(self, row: Row, scores: Mapping[str, Mapping[str, Score]]) -> None:
        """Writes the scores of a row by metric and column, in place of those stored before."""
        write_json(self.folder / f"{row.name}.json", scores)

    def claim(self, song: EvaluationSong) -> None:
        """Records which recording the folder belongs to.

        Raises:
            ConfigError: if it belongs to another recording.
        """
        path, found = self.folder / "song.json", {"id": song.id, "checksum": song.checksum}
        if path.is_file() and read_json(path) != found:
            expected = "the recording and notes that were rendered before (or another --out)"
            raise ConfigError(f"{self.corpus}: {song.id}", expected, "others")
        write_json(path, found)


def files_of(root: Path, corpus: EvaluationCorpus, song: EvaluationSong) -> SongFiles:
    """Returns the files of a song of a corpus."""
    return SongFiles(root, corpus.name, song.id)


def open_store(
    folder: Path,
    rows: Mapping[str, Description],
    corpora: Sequence[EvaluationCorpus],
    *,
    write: bool,
) -> None:
    """Starts an evaluation in a new folder, or continues the one in an existing folder.

    Args:
        folder: made if it does not exist.
        rows: description of the audio of each row, by name.
        corpora: corpora to evaluate.
        write: False for all processes but one.

    Raises:
        ConfigError: if the folder has audio of other settings, or is not that of an evaluation.
        OutputError: if it is not writable.
    """
    path = folder / EVALUATION
    now: dict[str, dict[str, Description]] = {
        "rows": dict(rows),
        "corpora": {
            corpus.name: {"split": corpus.split, **corpus.protocol.description}
            for corpus in corpora
        },
    }
    if path.is_file():
        before = read_json(path)
        if before.get("format") != FORMAT:
            expected = f"an evaluation of format {FORMAT} (or another --out)"
            raise ConfigError(f"{path}: format", expected, str(before.get("format")))
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
        write_json(path, {"format": FORMAT, **now})


def read_array(path: Path) -> np.ndarray:
    """Reads an array that was written by `spectrodiff.core.files.write_array`.

    Raises:
        AudioError: if it is missing or damaged.
    """
    try:
        with open_regular(path) as file:
            array: np.ndarray = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise AudioError(path, "a stored array", first_line(error)) from None
    return array


def feature_key(description: Description) -> str:
    """Returns the key of a row's features; rows that differ only in the inverter share it."""
    return json_checksum({k: v for k, v in description.items() if k != "inverter"})


def _check_same(path: Path, name: str, before: Description, now: Description) -> None:
    for setting in sorted(before.keys() | now.keys()):
        if before.get(setting) != now.get(setting):
            raise ConfigError(
                f"{path}: {setting} of {name}",
                f"{before.get(setting)}, as for the audio in this folder (or another --out)",
                str(now.get(setting)),
            )
