"""The corpora of a run: batches to train on, examples to be measured by."""

from pathlib import Path
from typing import Any

import jax

from spectrodiff.core.distributed import StopRequest, largest_of
from spectrodiff.core.parallel import to_devices
from spectrodiff.data.corpora.audio_folder import open_audio_folder
from spectrodiff.data.loading.batches import pad_tokens
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.loading.mixture import Source
from spectrodiff.data.source import load_source
from spectrodiff.training.evaluation import Examples, choose_examples
from spectrodiff.training.examples import Batch
from spectrodiff.training.settings import RunSettings


def open_batches(settings: RunSettings, data_dir: Path) -> TrainingBatches:
    """Endless batches; this process's share of each.

    Raises:
        CorpusError: if a corpus is not prepared.
    """
    data = settings.data
    return TrainingBatches(
        [open_source(settings, data_dir, name, data.train_split) for name in data.corpora],
        settings.chunking(),
        batch_size=settings.training.batch_size,
        seed=settings.training.seed,
        weights=data.weights,
        process=jax.process_index(),
        processes=jax.process_count(),
        threads=data.threads,
    )


def open_examples(settings: RunSettings, data_dir: Path) -> Examples:
    """Examples to evaluate on, the same in every process.

    Raises:
        CorpusError: if a corpus is not prepared.
    """
    data = settings.data
    return choose_examples(
        [open_source(settings, data_dir, name, data.evaluation_split) for name in data.corpora],
        settings.chunking(),
        settings.training.evaluation_examples,
    )


def open_source(settings: RunSettings, data_dir: Path, name: str, split: str) -> Source:
    """A prepared corpus, or, where no notes are needed, a folder of audio files.

    Raises:
        CorpusError: if it is neither.
    """
    if settings.inversion is not None and Path(name).is_dir():
        return open_audio_folder(Path(name), validation=split == settings.data.evaluation_split)
    return load_source(data_dir, name, split)


def next_batch(batches: Any, mesh: Any, stop: StopRequest) -> Batch | None:
    """The next batch as global arrays, split over the devices; None if asked to stop.

    All processes get None if one was asked, even while it waited for its share.
    """
    batch = stop.unless_asked(lambda: next(batches))
    width = 0 if batch is None else batch["tokens"].shape[1]
    # Each process padded its own rows; a global array has one shape.
    asked, width = largest_of(int(batch is None), width)
    if asked or batch is None:
        return None
    if jax.process_count() > 1:
        batch = pad_tokens(batch, width)
    placed: Batch = to_devices(batch, mesh)
    return placed
