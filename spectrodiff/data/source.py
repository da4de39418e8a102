"""Prepared corpora: where they lie, and random access to their recordings."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import Recording
from spectrodiff.music.notes import Notes

VERSION = "1.0.0"
SUMMARY_FILE = "preparation.json"

# The columns of the note table as they are stored.
COLUMNS = {
    "onset_seconds": np.float64,
    "offset_seconds": np.float64,
    "pitch": np.int32,
    "velocity": np.int32,
    "program": np.int32,
    "is_drum": np.bool_,
}


@dataclasses.dataclass(frozen=True)
class RecordingSource:
    """The recordings of a split, read from disk when asked for; can be sent to other processes.

    Args:
        examples: a TFDS data source.
    """

    examples: Any

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Recording]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: SupportsIndex) -> Recording:
        example = self.examples[index]
        notes = Notes(
            **{name: example[name] for name in COLUMNS},
            total_seconds=float(example["total_seconds"]),
        )
        return Recording(example["id"].decode(), example["audio"], notes)


def dataset_folder(data_dir: str | os.PathLike[str], corpus: str, config: str) -> Path:
    """Where a prepared corpus lies: `data_dir/corpus/config/version`."""
    return Path(data_dir).absolute() / corpus / config / VERSION


def load_source(data_dir: str | os.PathLike[str], name: str, split: str) -> RecordingSource:
    """Opens a split of a prepared corpus.

    Args:
        data_dir: where `python -m spectrodiff prepare` put it.
        name: "corpus/config", such as "slakh/redux"; the config may be left out if there is one.
        split: such as "train", or a part such as "train[:10%]" in the notation of TFDS.

    Raises:
        CorpusError: if it is not there, or has no such split, or nothing is in it.
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
    """The configs of a corpus that are prepared."""
    folders = sorted((Path(data_dir).absolute() / corpus).glob(f"*/{VERSION}"))
    return [folder.parent.name for folder in folders]
