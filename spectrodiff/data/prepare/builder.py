"""TFDS datasets of recordings in array_record, for any corpus; TensorFlow is not needed.

Imported only while a corpus is prepared: TFDS takes a while to load.
"""

import functools
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.data.prepare.summary import Summary
from spectrodiff.data.recordings import Outcome, Recording, Track, read_track
from spectrodiff.data.source import COLUMNS, SUMMARY_FILE, VERSION

# How many recordings a file holds, about: small enough to be moved around, 1 GB for long ones.
_SHARD_RECORDINGS = 64

Example = dict[str, Any]


class _OfRecordings(tfds.core.DatasetBuilder):
    """What the two builders have in common."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        corpus: str,
        config: str,
        data_dir: Path,
        splits: Mapping[str, Sequence[Track]],
        summary: Summary,
    ) -> None:
        self.name = corpus  # On the instance: one class serves all corpora.
        self._splits, self._summary = splits, summary
        super().__init__(
            config=tfds.core.BuilderConfig(name=config),
            data_dir=data_dir,
            file_format="array_record",
        )

    def _info(self) -> tfds.core.DatasetInfo:
        return _dataset_info(self)

    def _finish(self) -> None:
        """Puts the summary beside the data, before the folder gets its final name."""
        self._summary.check(self.name)
        self._summary.save(Path(self.data_path) / SUMMARY_FILE)

    # TFDS would announce on standard output how much it is going to download.
    def _log_download_bytes(self) -> None:
        pass

    def _log_download_done(self) -> None:
        pass


class CorpusBuilder(_OfRecordings, tfds.core.ShardBasedBuilder):
    """Writes a corpus one shard after the other, so that memory holds only a few recordings.

    (The common `GeneratorBasedBuilder` shuffles through files that it can only open with
    TensorFlow as soon as a split exceeds 1 GB, which is nine hours of audio.)

    Args:
        corpus: name of the corpus.
        config: name of its variant.
        data_dir: where datasets are kept.
        splits: the tracks of each split.
        summary: counts what is written, and is stored beside the data.
        outcomes: all tracks of all splits, read, in this order.
    """

    def __init__(self, *args: Any, outcomes: Iterator[Outcome]) -> None:
        self._outcomes = outcomes
        super().__init__(*args)

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Any]]:
        del dl_manager  # Nothing is downloaded.
        # TFDS takes one shard after the other, so that all can draw from one stream.
        return {
            split: [functools.partial(self._examples, split, size) for size in _shard_sizes(tracks)]
            for split, tracks in self._splits.items()
        }

    def _examples(self, split: str, num_tracks: int) -> Iterator[tuple[str, Example]]:
        for outcome in itertools.islice(self._outcomes, num_tracks):
            self._summary.add(split, outcome)
            for recording in outcome.recordings:
                example = to_example(recording)
                yield recording.id, example
                # TFDS keeps all examples of a shard, just to count them at its end.
                example.clear()

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        self._finish()


class BeamCorpusBuilder(_OfRecordings, tfds.core.GeneratorBasedBuilder):
    """Writes the same dataset on an Apache Beam runner; arguments as in `CorpusBuilder`."""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        self._reports.mkdir()
        return {split: self._generate_examples(split) for split in self._splits}

    def _generate_examples(self, split: str) -> Any:
        import apache_beam as beam

        return (
            beam.Create(list(self._splits[split]))
            | beam.Reshuffle()
            | beam.FlatMap(functools.partial(_read_and_report, split, self._reports))
        )

    @property
    def _reports(self) -> Path:
        return Path(self.data_path) / "reports"

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        try:
            super()._download_and_prepare(dl_manager, download_config)
        except (ValueError, RuntimeError) as error:
            # TFDS's own way of saying that a split is empty does not say why.
            if "should be >0" not in str(error):
                raise
        for report in sorted(self._reports.iterdir()):
            self._summary.merge(json.loads(report.read_text()))
        shutil.rmtree(self._reports)
        self._finish()


def to_example(recording: Recording) -> Example:
    """A recording as the features of the dataset."""
    notes = {name: getattr(recording.notes, name) for name in COLUMNS}
    total_seconds = np.float64(len(recording.audio) / SAMPLE_RATE)
    return {
        "id": recording.id,
        "audio": recording.audio,
        "total_seconds": total_seconds,
        **notes,
    }


def _read_and_report(split: str, reports: Path, track: Track) -> Iterator[tuple[str, Example]]:
    """Runs on a Beam worker; its counts travel through a file, as Beam returns only examples."""
    outcome = read_track(track)
    summary = Summary()
    summary.add(split, outcome)
    name = track.mixes[0][0].replace("/", "_")
    summary.save(reports / f"{split}-{name}.json")
    for recording in outcome.recordings:
        yield recording.id, to_example(recording)


def _dataset_info(builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetInfo:
    features = tfds.features

    def exact(dtype: Any, *shape: None) -> tfds.features.Tensor:
        # As bytes: fast to decode, and TFDS would round float64 to float32.
        return features.Tensor(shape=shape, dtype=dtype, encoding=features.Encoding.BYTES)

    return tfds.core.DatasetInfo(
        builder=builder,
        description="Recordings, mono at 16 kHz, with their notes.",
        features=features.FeaturesDict(
            {
                "id": features.Text(),
                "audio": exact(np.int16, None),
                "total_seconds": exact(np.float64),
                **{name: exact(dtype, None) for name, dtype in COLUMNS.items()},
            }
        ),
    )


def _shard_sizes(tracks: Sequence[Track]) -> list[int]:
    """How many tracks, one after the other, make up about 64 recordings each."""
    sizes: list[int] = []
    num_recordings = _SHARD_RECORDINGS
    for track in tracks:
        if num_recordings >= _SHARD_RECORDINGS:
            sizes.append(0)
            num_recordings = 0
        sizes[-1] += 1
        num_recordings += len(track.mixes)
    return sizes
