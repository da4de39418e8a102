"""Corpora of a run: batches to train on, and examples to evaluate on."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from spectrodiff.core.constants import EXTRA_FRAMES
from spectrodiff.core.distributed import StopRequest
from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.core.parallel import to_devices
from spectrodiff.data.corpora.audio_folder import AudioPieces, open_audio_folder
from spectrodiff.data.loading.batches import HostBatch
from spectrodiff.data.loading.lengths import Source
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.pieces import PieceLength
from spectrodiff.data.source import load_source
from spectrodiff.music.general_midi import drum_name, enumerate_names, short_names
from spectrodiff.music.programs import map_program_numbers
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training.evaluation import Recordings, choose_examples
from spectrodiff.training.examples import Batch
from spectrodiff.training.settings import Data
from spectrodiff.training.task import RunSettings, Task

# Steps between agreements of several processes on whether to stop: each waits for the devices.
AGREEMENT_STEPS = 10


def open_batches(settings: RunSettings, task: Task, data_dir: Path) -> TrainingBatches:
    """Opens endless batches, of which each process gets its rows.

    Raises:
        CorpusError: if a corpus is not prepared, or in pieces of another length.
        ConfigError: if it has instruments that the model will not know.
    """
    data = settings.data
    example_format = settings.example_format(task.sizes)
    length = PieceLength(data.piece_frames, task.sizes.target_frames + EXTRA_FRAMES)
    sources = [_open_pieces(name, data, task, data_dir, length) for name in data.corpora]
    if task.uses_notes:
        for name, source in zip(data.corpora, sources, strict=True):
            check_instruments(name, source, settings.tokenization)
    return TrainingBatches(
        sources,
        example_format,
        batch_size=settings.training.batch_size,
        seed=settings.training.seed,
        weights=data.weights,
        process=jax.process_index(),
        processes=jax.process_count(),
        workers=data.workers,
    )


def open_examples(settings: RunSettings, task: Task, data_dir: Path) -> HostBatch:
    """Reads the examples to evaluate on, the same in every process.

    Raises:
        CorpusError: if a corpus is not prepared, or lacks the split `Data.evaluation_split`.
    """
    data = settings.data
    return choose_examples(
        [_open_recordings(name, data, task, data_dir) for name in data.corpora],
        settings.example_format(task.sizes),
        settings.training.evaluation_examples,
    )


def check_instruments(name: str, source: Source, tokenization: Tokenization) -> None:
    """Checks that the model will know the instruments of a corpus.

    Otherwise it would learn to play them, and never be asked to: they are replaced in songs.

    Args:
        name: of the corpus, for errors.
        source: its pieces.
        tokenization: of the model.

    Raises:
        ConfigError: names those that it will not know, and the setting that adds them.
    """
    programs, drums = set[int](), set[int]()
    if tokenization.programs is None and tokenization.drums is None:
        return
    for number in range(len(source)):
        notes = source.without_audio(number).notes
        programs.update(notes.program[~notes.is_drum].tolist())
        drums.update(notes.pitch[notes.is_drum].tolist())
    mapped = {
        program: int(map_program_numbers(np.array(program), tokenization.program_map))
        for program in sorted(programs)
    }
    for setting, known, found, names in (
        ("programs", tokenization.programs, mapped, short_names(list(mapped))),
        ("drums", tokenization.drums, {key: key for key in sorted(drums)}, None),
    ):
        unknown = [number for number in found if known is not None and found[number] not in known]
        if unknown:
            assert known is not None
            listed = [names[number] if names else drum_name(number) for number in unknown]
            numbers = ", ".join(map(str, unknown))
            added = tuple(sorted({*known, *(found[number] for number in unknown)}))
            expected = (
                f"the instruments of {name}, {enumerate_names(listed)} among them ({setting} "
                f"{numbers} in its MIDI files): give the files known {setting}, or set {added}"
            )
            raise ConfigError(f"Tokenization.{setting}", expected, str(known))


def _open_pieces(name: str, data: Data, task: Task, data_dir: Path, length: PieceLength) -> Source:
    """Opens what is trained on of a prepared corpus or, if no notes are needed, of a folder."""
    if _is_folder(name, task):
        return AudioPieces(open_audio_folder(Path(name), validation=False), length)
    source = load_source(data_dir, name, data.train_split).pieces
    if source.length.frames != length.frames:
        expected = f"pieces of {length.frames} frames (Data.piece_frames)"
        again = f"prepare it anew with --piece_frames {length.frames}"
        raise CorpusError(name, expected, f"{source.length.frames}; {again}")
    return source


def _open_recordings(name: str, data: Data, task: Task, data_dir: Path) -> Recordings:
    if _is_folder(name, task):
        return open_audio_folder(Path(name), validation=True)
    split = data.evaluation_split
    try:
        return load_source(data_dir, name, split)
    except CorpusError as error:
        if error.got != split:
            raise
        hint = "a corpus needs two recordings, or Data.evaluation_split = 'train'"
        raise CorpusError(name, error.expected, f"{split} ({hint})") from None


def _is_folder(name: str, task: Task) -> bool:
    return not task.uses_notes and Path(name).is_dir()


def next_batch(
    batches: Iterator[HostBatch], mesh: Mesh, stop: StopRequest, step: int
) -> Batch | None:
    """Returns the batch of a step as global arrays, split over the devices; None to stop.

    One process stops even while it waits for its rows. Several agree every few steps.
    """
    if jax.process_count() == 1:
        batch = stop.unless_asked(lambda: next(batches))
    else:
        agreed = step % AGREEMENT_STEPS == 0 and stop.agreed()
        batch = None if agreed else next(batches)
    if batch is None:
        return None
    placed: Batch = to_devices(batch, mesh)
    return placed
