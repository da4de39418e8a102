"""Prepared corpora: their folders, and random access to their recordings."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, SupportsIndex

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import Recording
from spectrodiff.music.notes import NOTE_COLUMNS, Notes

VERSION = "1.0.0"
SUMMARY_FILE = "preparation.json"


class StoredRecords(Protocol):
    """Random access to stored records, implemented by TFDS data sources."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: SupportsIndex) -> Mapping[str, Any]:
        """Returns the values of a record by feature: bytes for the id, else arrays or scalars."""
        ...


@dataclasses.dataclass(frozen=True)
class RecordingSource:
    """Recordings of a split, read from disk on access; can be pickled.

    Args:
        records: stored records of the split.
    """

    records: StoredRecords

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Recording]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: SupportsIndex) -> Recording:
        record = self.records[index]
        notes = Notes(
            **{name: record[name] for name in NOTE_COLUMNS},
            total_seconds=float(record["total_seconds"]),
        )
        return Recording(record["id"].decode(), record["audio"], notes)


def dataset_folder(data_dir: str | os.PathLike[str], corpus: str, config: str) -> Path:
    """Returns the folder of a prepared corpus: `data_dir/corpus/config/version`."""
    return Path(data_dir).absolute() / corpus / config / VERSION


def load_source(data_dir: str | os.PathLike[str], name: str, split: str) -> RecordingSource:
    """Opens a split of a prepared corpus.

    Args:
        data_dir: output folder of `python -m spectrodiff prepare`.
        name: "corpus/config", such as "slakh/redux"; only "corpus" if it has a single config.
        split: split such as "train", or a part such as "train[:10%]" in the notation of TFDS.

    Raises:
        CorpusError: if the corpus is not prepared, has no such split, or the split is empty.
    """
    import tensorflow_datasets as tfds

    corpus, _, config = name.partition("/")
    configs = prepared_configs(data_dir, corpus)
    if not config and len(configs) == 1:
        config = configs[0]
    if config not in configs:
        expected = f"the prepared corpus {name} in {os.fspath(data_dir)}"
        got = f"only {corpus} with {', '.join(configs)}" if configs else "none"
        raise CorpusError(name, expected, got)
    builder = tfds.builder_from_directory(str(dataset_folder(data_dir, corpus, config)))
    wanted = split.split("[")[0]
    if wanted not in builder.info.splits:
        raise CorpusError(name, f"one of the splits {', '.join(builder.info.splits)}", split)
    try:
        count = builder.info.splits[split].num_examples
    except ValueError:
        raise CorpusError(name, "a split in the notation of TFDS", split) from None
    if not count:
        raise CorpusError(name, f"recordings in the split {split}", "none")
    return RecordingSource(builder.as_data_source(split=split))


def prepared_configs(data_dir: str | os.PathLike[str], corpus: str) -> list[str]:
    """Returns the names of the prepared configs of a corpus."""
    folders = sorted((Path(data_dir).absolute() / corpus).glob(f"*/{VERSION}"))
    return [folder.parent.name for folder in folders]
