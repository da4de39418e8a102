"""TFDS dataset builders for pieces of recordings, in array_record files, without TensorFlow.

Import this module only to prepare a corpus, since importing TFDS takes seconds.
"""

import functools
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow_datasets as tfds

from spectrodiff.core.files import file_name
from spectrodiff.data.piece_index import PieceIndex
from spectrodiff.data.pieces import Piece, PieceLength, cut_pieces
from spectrodiff.data.prepare.summary import Summary
from spectrodiff.data.recordings import Outcome, RecordingGroup, read_group
from spectrodiff.data.source import SUMMARY_FILE, corpus_version, index_path, read_piece
from spectrodiff.music.notes import NOTE_COLUMNS

if TYPE_CHECKING:
    import apache_beam as beam

# Approximate number of recordings per file, which gives files of up to about 1 GB.
SHARD_RECORDINGS = 64

Record = dict[str, str | np.ndarray | np.generic]
"""Values of a piece by feature, as TFDS stores them."""


class _RecordingsBuilder(tfds.core.DatasetBuilder):
    """Common base of the two builders."""

    def __init__(
        self,
        corpus: str,
        config: str,
        data_dir: Path,
        splits: Mapping[str, Sequence[RecordingGroup]],
        summary: Summary,
        piece_length: PieceLength,
    ) -> None:
        # Instance attributes, since one class builds all corpora.
        self.name, self.VERSION = corpus, tfds.core.Version(corpus_version(corpus))
        self._splits, self._summary, self._piece_length = splits, summary, piece_length
        super().__init__(
            config=tfds.core.BuilderConfig(name=config),
            data_dir=data_dir,
            file_format="array_record",
        )

    def _info(self) -> tfds.core.DatasetInfo:
        return _dataset_info(self)

    def _finish(self) -> None:
        """Writes indexes and summary beside the data, before the folder gets its final name."""
        self._summary.check(self.name)
        folder = Path(self.data_path)
        for split in self.info.splits:
            # Read back, since Beam stores records in an order of its own.
            pieces = map(read_piece, self.as_data_source(split=split))
            PieceIndex.of(pieces, self._piece_length).save(index_path(folder, split))
        self._summary.save(folder / SUMMARY_FILE)

    # By default TFDS prints the download size to standard output.
    def _log_download_bytes(self) -> None:
        pass

    def _log_download_done(self) -> None:
        pass


class CorpusBuilder(_RecordingsBuilder, tfds.core.ShardBasedBuilder):
    """Writes a corpus shard by shard, with only a few recordings in memory.

    (The usual `GeneratorBasedBuilder` shuffles splits above 1 GB, which is nine hours of audio,
    through files that need TensorFlow.)

    Args:
        corpus: name of the corpus.
        config: name of its variant.
        data_dir: folder of prepared corpora.
        splits: groups of each split.
        summary: counts the recordings written, and is stored beside the data.
        piece_length: how recordings are cut into pieces.
        outcomes: outcomes of all groups of all splits, in this order.
    """

    def __init__(self, *args: Any, outcomes: Iterator[Outcome]) -> None:
        self._outcomes = outcomes
        super().__init__(*args)

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[tuple[str, Record]]]]]:
        del dl_manager  # nothing is downloaded
        # TFDS writes shards one after another, so all can read from the same iterator.
        return {
            split: [functools.partial(self._records, split, size) for size in _shard_sizes(groups)]
            for split, groups in self._splits.items()
        }

    def _records(self, split: str, num_groups: int) -> Iterator[tuple[str, Record]]:
        for outcome in itertools.islice(self._outcomes, num_groups):
            self._summary.add(split, outcome)
            for key, record in _records_of(outcome, self._piece_length):
                yield key, record
                # TFDS keeps all records of a shard in memory, only to count them.
                record.clear()

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig | None = None,
    ) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        self._finish()


class BeamCorpusBuilder(_RecordingsBuilder, tfds.core.GeneratorBasedBuilder):
    """Writes the same dataset on an Apache Beam runner; for arguments see `CorpusBuilder`."""

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> "dict[str, beam.PTransform]":
        del dl_manager
        self._reports.mkdir()
        return {split: self._generate_examples(split) for split in self._splits}

    def _generate_examples(self, split: str) -> "beam.PTransform":
        import apache_beam as beam

        return (
            beam.Create(list(self._splits[split]))
            | beam.Reshuffle()
            | beam.FlatMap(
                functools.partial(_read_and_report, split, self._reports, self._piece_length)
            )
        )

    @property
    def _reports(self) -> Path:
        return Path(self.data_path) / "reports"

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> None:
        try:
            super()._download_and_prepare(dl_manager, download_config)
        except (ValueError, RuntimeError) as error:
            # An empty split; reported with reasons by `_finish`.
            if "should be >0" not in str(error):
                raise
        for report in sorted(self._reports.iterdir()):
            self._summary.merge(json.loads(report.read_text()))
        shutil.rmtree(self._reports)
        self._finish()


def _records_of(outcome: Outcome, length: PieceLength) -> Iterator[tuple[str, Record]]:
    """Yields the records of all pieces of a group, with unique keys."""
    for recording in outcome.recordings:
        for piece in cut_pieces(recording, length):
            yield f"{recording.id}@{piece.first_frame}", _to_record(piece)


def _to_record(piece: Piece) -> Record:
    """Converts a piece to the features of the dataset."""
    return {
        "recording": piece.recording,
        "first_frame": np.int64(piece.first_frame),
        "num_frames": np.int64(piece.num_frames),
        "audio": piece.audio,
        "total_seconds": np.float64(piece.notes.total_seconds),
        **{name: getattr(piece.notes, name) for name in NOTE_COLUMNS},
    }


def _read_and_report(
    split: str, reports: Path, length: PieceLength, group: RecordingGroup
) -> Iterator[tuple[str, Record]]:
    """Reads a group on a Beam worker and writes its summary to a file in `reports`."""
    outcome = read_group(group)
    summary = Summary()
    summary.add(split, outcome)
    summary.save(reports / f"{file_name(f'{split}/{group.mixes[0][0]}')}.json")
    yield from _records_of(outcome, length)


def _dataset_info(builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetInfo:
    features = tfds.features

    def exact(dtype: type[np.generic], *shape: None) -> tfds.features.Tensor:
        # Stored as bytes: fast to decode, and otherwise TFDS rounds float64 to float32.
        return features.Tensor(shape=shape, dtype=dtype, encoding=features.Encoding.BYTES)

    return tfds.core.DatasetInfo(
        builder=builder,
        description="Pieces of recordings, mono at 16 kHz, with their notes.",
        features=features.FeaturesDict(
            {
                "recording": features.Text(),
                "first_frame": exact(np.int64),
                "num_frames": exact(np.int64),
                "audio": exact(np.int16, None),
                "total_seconds": exact(np.float64),
                **{name: exact(dtype, None) for name, dtype in NOTE_COLUMNS.items()},
            }
        ),
    )


def _shard_sizes(groups: Sequence[RecordingGroup]) -> list[int]:
    """Returns the number of groups in each shard, for about 64 recordings per shard."""
    sizes: list[int] = []
    num_recordings = SHARD_RECORDINGS
    for group in groups:
        if num_recordings >= SHARD_RECORDINGS:
            sizes.append(0)
            num_recordings = 0
        sizes[-1] += 1
        num_recordings += len(group.mixes)
    return sizes
