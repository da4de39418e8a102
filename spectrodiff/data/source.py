"""Prepared corpora: their folders, and random access to their pieces and recordings."""

import dataclasses
import functools
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, SupportsIndex

import numpy as np

from spectrodiff.core.errors import CorpusError, first_line
from spectrodiff.core.files import check_tree, local_path
from spectrodiff.core.suggestions import did_you_mean
from spectrodiff.data.piece_index import PieceIndex
from spectrodiff.data.pieces import Piece, PieceLength, join_pieces
from spectrodiff.data.recordings import Recording
from spectrodiff.music.notes import NOTE_COLUMNS, Notes

SUMMARY_FILE = "preparation.json"

# Corpora that `spectrodiff prepare` knows.
CORPORA = (
    "maestro",
    "slakh",
    "cerberus4",
    "guitarset",
    "musicnet",
    "urmp",
    "pairs",
    "soundfont",
)
_VERSION = "2.0.0"
# Corpora that changed later.
_LATER_VERSIONS = {"slakh": "2.1.0", "cerberus4": "2.1.0"}
# Contents of corpora of earlier versions, which cannot be used any more.
_EARLIER = {"1.0.0": "whole recordings", "2.0.0": "notes that overlap"}


class StoredRecords(Protocol):
    """Random access to stored records, implemented by TFDS data sources."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: SupportsIndex) -> Mapping[str, Any]:
        """Returns the values of a record by feature: bytes for the id, else arrays or scalars."""
        ...


@dataclasses.dataclass(frozen=True)
class PieceSource:
    """Pieces of recordings of a split, read from disk on access; can be pickled.

    Args:
        records: stored pieces of the whole split.
        index_file: index of the whole split.
        recordings: numbers of the first recording and after the last one; None for all.
    """

    records: StoredRecords
    index_file: Path
    recordings: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: SupportsIndex) -> Piece:
        return read_piece(self.records[int(self._numbers[number])])

    @property
    def num_frames(self) -> np.ndarray:
        """Length of each piece, int32 [pieces]."""
        return self.index.num_frames[self._numbers]

    def without_audio(self, number: int) -> Piece:
        """Returns a piece whose audio is empty, from the index."""
        return self.index.piece(int(self._numbers[number]))

    @property
    def length(self) -> PieceLength:
        """Length of the pieces that recordings were cut into."""
        return self.index.length

    @functools.cached_property
    def index(self) -> PieceIndex:
        """Index of the whole split."""
        return _load_index(self.index_file)

    @functools.cached_property
    def _numbers(self) -> np.ndarray:
        if self.recordings is None:
            return np.arange(len(self.records))
        return np.concatenate(self.index.pieces_of_recordings[slice(*self.recordings)])

    def __getstate__(self) -> dict[str, Any]:
        # Without what is cached.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True)
class RecordingSource:
    """Whole recordings of a split, joined from their pieces on access; can be pickled.

    Args:
        pieces: pieces of all recordings.
    """

    pieces: PieceSource

    def __len__(self) -> int:
        first, end = self._range
        return end - first

    def __iter__(self) -> Iterator[Recording]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: SupportsIndex) -> Recording:
        number = range(*self._range)[index]
        records = self.pieces.records
        pieces = self.pieces.index.pieces_of_recordings[number]
        return join_pieces([read_piece(records[int(piece)]) for piece in pieces])

    @property
    def _range(self) -> tuple[int, int]:
        return self.pieces.recordings or (0, len(self.pieces.index.recordings))


def read_piece(record: Mapping[str, Any]) -> Piece:
    """Converts a stored record to a piece."""
    notes = Notes(
        **{name: record[name] for name in NOTE_COLUMNS},
        total_seconds=float(record["total_seconds"]),
    )
    return Piece(
        record["recording"].decode(),
        int(record["first_frame"]),
        int(record["num_frames"]),
        record["audio"],
        notes,
    )


def corpus_version(corpus: str) -> str:
    """Returns the version in which a corpus is prepared."""
    return _LATER_VERSIONS.get(corpus, _VERSION)


def dataset_folder(data_dir: str | os.PathLike[str], corpus: str, config: str) -> Path:
    """Returns the folder of a prepared corpus: `data_dir/corpus/config/version`.

    Raises:
        ConfigError: if `data_dir` is a URL.
    """
    return local_path(os.fspath(data_dir)).absolute() / corpus / config / corpus_version(corpus)


def index_path(folder: Path, split: str) -> Path:
    """Returns the file of the index of a split."""
    return folder / f"pieces-{split}.npz"


def load_source(data_dir: str | os.PathLike[str], name: str, split: str) -> RecordingSource:
    """Opens a split of a prepared corpus.

    Args:
        data_dir: output folder of `python -m spectrodiff prepare`.
        name: "corpus/config", such as "slakh/redux"; only "corpus" if it has a single config.
        split: split such as "train", or a part of its recordings such as "train[:10%]" in the
            notation of TFDS.

    Raises:
        CorpusError: if the corpus is not prepared, has no such split, or the split is empty.
    """
    import tensorflow_datasets as tfds

    corpus, _, config = name.partition("/")
    configs = prepared_configs(data_dir, corpus)
    if not config and len(configs) == 1:
        config = configs[0]
    if config not in configs:
        _check_version(data_dir, name)
        expected = f"the prepared corpus {name} in {os.fspath(data_dir)}"
        if configs:
            raise CorpusError(name, expected, f"only {corpus} with {', '.join(configs)}")
        raise CorpusError(name, expected, f"none; {_how_to_prepare(corpus, config, data_dir)}")
    folder = dataset_folder(data_dir, corpus, config)
    try:
        check_tree(folder)
    except OSError as error:
        raise CorpusError(error.filename, "a file of the corpus", first_line(error)) from error
    builder = tfds.builder_from_directory(str(folder))
    wanted = split.split("[")[0]
    if wanted not in builder.info.splits:
        raise CorpusError(name, f"one of the splits {', '.join(builder.info.splits)}", split)
    file = index_path(folder, wanted)
    index, records = _load_index(file), builder.as_data_source(split=wanted)
    if len(index.recording) != len(records):
        expected = f"an index of {len(records)} pieces; prepare the corpus anew"
        raise CorpusError(file, expected, f"{len(index.recording)}")
    recordings = _slice(name, split, wanted, len(index.recordings))
    return RecordingSource(PieceSource(records, file, recordings))


def prepared_configs(data_dir: str | os.PathLike[str], corpus: str) -> list[str]:
    """Returns the names of the prepared configs of a corpus."""
    return _configs(data_dir, corpus, corpus_version(corpus))


def _configs(data_dir: str | os.PathLike[str], corpus: str, version: str) -> list[str]:
    folders = sorted((Path(data_dir).absolute() / corpus).glob(f"*/{version}"))
    return [folder.parent.name for folder in folders]


def _check_version(data_dir: str | os.PathLike[str], name: str) -> None:
    """Checks that a corpus was not prepared by an older version.

    Raises:
        CorpusError: says how to prepare it anew.
    """
    corpus, _, config = name.partition("/")
    version = corpus_version(corpus)
    for earlier, contents in _EARLIER.items():
        old = [] if earlier == version else _configs(data_dir, corpus, earlier)
        if not (config in old if config else old):
            continue
        folder = Path(data_dir) / corpus / (config or old[0]) / earlier
        data_flag = f"--data_dir {shlex.quote(str(data_dir))}"
        command = f"python -m spectrodiff prepare {corpus} ... {data_flag}"
        got = f"{earlier}, with {contents}; delete {folder} and run {command}"
        raise CorpusError(name, f"version {version} of the prepared corpus", got)


def _how_to_prepare(corpus: str, config: str, data_dir: str | os.PathLike[str]) -> str:
    """Returns a phrase with the command that prepares a corpus, or with the corpora there are."""
    if corpus not in CORPORA:
        near = did_you_mean(corpus, CORPORA)
        return near.strip(" ()") if near else f"corpora are {', '.join(CORPORA)}"
    flags = ["--source FOLDER"] if corpus != "soundfont" else []
    if config and corpus in ("pairs", "soundfont"):
        flags.append(f"--name {config}")
    elif config and corpus in ("slakh", "cerberus4"):
        flags.append(f"--variant {config.partition('_')[0]}")
    flags.append(f"--data_dir {shlex.quote(os.fspath(data_dir))}")
    return f"prepare it by: spectrodiff prepare {corpus} {' '.join(flags)}"


def _slice(name: str, split: str, wanted: str, count: int) -> tuple[int, int] | None:
    """Returns the range of recordings of a split in the notation of TFDS."""
    import tensorflow_datasets as tfds

    if split == wanted:
        return None
    sizes = {wanted: SimpleNamespace(num_examples=count)}
    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(sizes)
    except ValueError:
        raise CorpusError(name, "a split in the notation of TFDS", split) from None
    first, end = parts[0].from_ or 0, count if parts[0].to is None else parts[0].to
    if len(parts) > 1 or first >= end:
        raise CorpusError(name, f"recordings in the split {split}", "none")
    return first, end


def _load_index(path: Path) -> PieceIndex:
    """Reads an index, or returns it as it was read before if the file is the same."""
    try:
        status = path.stat()
    except OSError as error:
        raise CorpusError(path, "an index of pieces; prepare the corpus anew", "none") from error
    return _load_version(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _load_version(path: Path, modified: int, size: int) -> PieceIndex:
    del modified, size  # keys of the cache
    return PieceIndex.load(path)
