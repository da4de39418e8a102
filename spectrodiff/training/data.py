"""Corpora of a run: batches to train on, and examples to evaluate on."""

from collections.abc import Iterator
from pathlib import Path

import jax
from jax.sharding import Mesh

from spectrodiff.core.distributed import StopRequest, largest_of
from spectrodiff.core.parallel import to_devices
from spectrodiff.data.corpora.audio_folder import open_audio_folder
from spectrodiff.data.loading.batches import HostBatch, pad_tokens
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.loading.mixture import Source
from spectrodiff.data.source import load_source
from spectrodiff.training.evaluation import choose_examples
from spectrodiff.training.examples import Batch
from spectrodiff.training.settings import Data
from spectrodiff.training.task import RunSettings, Task


def open_batches(settings: RunSettings, task: Task, data_dir: Path) -> TrainingBatches:
    """Opens endless batches, of which each process gets its rows.

    Raises:
        CorpusError: if a corpus is not prepared.
    """
    data = settings.data
    return TrainingBatches(
        _sources(data, task, data_dir, data.train_split),
        settings.example_format(task.sizes),
        batch_size=settings.training.batch_size,
        seed=settings.training.seed,
        weights=data.weights,
        process=jax.process_index(),
        processes=jax.process_count(),
        threads=data.threads,
    )


def open_examples(settings: RunSettings, task: Task, data_dir: Path) -> HostBatch:
    """Reads the examples to evaluate on, the same in every process.

    Raises:
        CorpusError: if a corpus is not prepared, or lacks the split `Data.evaluation_split`.
    """
    data = settings.data
    return choose_examples(
        _sources(data, task, data_dir, data.evaluation_split),
        settings.example_format(task.sizes),
        settings.training.evaluation_examples,
    )


def _sources(data: Data, task: Task, data_dir: Path, split: str) -> list[Source]:
    """Opens prepared corpora or, if no notes are needed, folders of audio files."""
    return [
        open_audio_folder(Path(name), validation=split == data.evaluation_split)
        if not task.uses_notes and Path(name).is_dir()
        else load_source(data_dir, name, split)
        for name in data.corpora
    ]


def next_batch(batches: Iterator[HostBatch], mesh: Mesh, stop: StopRequest) -> Batch | None:
    """Returns the next batch as global arrays, split over the devices; None if asked to stop.

    All processes return None if one was asked to stop, even while it waited for its rows.
    """
    batch = stop.unless_asked(lambda: next(batches))
    width = 0 if batch is None else batch["tokens"].shape[1]
    # Each process padded its own rows, but a global array has one shape.
    asked, width = largest_of(int(batch is None), width)
    if asked or batch is None:
        return None
    if jax.process_count() > 1:
        batch = pad_tokens(batch, width)
    placed: Batch = to_devices(batch, mesh)
    return placed
