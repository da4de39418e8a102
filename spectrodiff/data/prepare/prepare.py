"""Preparation of a planned corpus as a dataset on disk."""

import contextlib
import itertools
import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spectrodiff.core.errors import ConfigError, CorpusError, OutputError, first_line
from spectrodiff.core.files import temporary_folder, unwritable
from spectrodiff.core.progress import Progress
from spectrodiff.data.piece_index import PieceIndex
from spectrodiff.data.pieces import PAPER_PIECES, PieceLength
from spectrodiff.data.prepare.summary import Summary
from spectrodiff.data.prepare.workers import read_groups
from spectrodiff.data.recordings import Outcome, Plan, RecordingGroup
from spectrodiff.data.source import SUMMARY_FILE, dataset_folder, index_path

if TYPE_CHECKING:
    import tensorflow_datasets as tfds
    from apache_beam.options.pipeline_options import PipelineOptions

logger = logging.getLogger(__name__)

# In messages of the array_record library, which has no exception of its own.
_FAILED_WRITE = re.compile(r"\b(?:write|close|open|flush)\(\) failed")


def prepare(
    corpus: str,
    config: str,
    plan: Plan,
    data_dir: Path,
    *,
    piece_length: PieceLength = PAPER_PIECES,
    workers: int = 1,
    beam_options: Sequence[str] | None = None,
) -> Summary:
    """Writes a corpus to `data_dir/corpus/config/version`, unless that folder exists.

    The folder exists only when it is complete. Remains of a killed preparation are removed.

    Args:
        corpus: name of the corpus.
        config: name of its variant.
        plan: contents of the corpus.
        data_dir: folder of prepared corpora.
        piece_length: how recordings are cut into pieces.
        workers: number of processes that read recordings.
        beam_options: pipeline options for a preparation on Apache Beam; None for none.

    Returns:
        Summary of the new or existing dataset.

    Raises:
        CorpusError: if a split has no usable recordings, or the folder exists with pieces of
            another length.
        OutputError: if the folder cannot be written, the disk is full, or another process is
            preparing the same corpus.
        ConfigError: if Beam is requested but not installed, or its runner fails.
    """
    folder = dataset_folder(data_dir, corpus, config)
    with _writing(folder), _locked(folder.parent):
        if folder.exists():
            _check_pieces(folder, piece_length)
            logger.info("%s is already prepared; delete the folder to prepare it again", folder)
            return Summary.load(folder / SUMMARY_FILE)
        for leftover in folder.parent.glob(f"incomplete.*_{folder.name}"):
            shutil.rmtree(leftover)
        splits = {
            split: [limited for group in groups for limited in group.limited()]
            for split, groups in plan.splits.items()
            if groups
        }
        summary = Summary.of_plan(plan)
        summary.check_plan(corpus)
        if beam_options is None:
            _build(corpus, config, data_dir, splits, summary, piece_length, workers)
        else:
            _build_with_beam(corpus, config, data_dir, splits, summary, piece_length, beam_options)
        return summary


def _check_pieces(folder: Path, wanted: PieceLength) -> None:
    """Checks that a prepared corpus has pieces of a length."""
    for path in sorted(folder.glob(index_path(folder, "*").name)):
        if (found := PieceIndex.load(path).length) != wanted:
            got = f"{_in_words(found)}; delete the folder to prepare it again"
            raise CorpusError(folder, _in_words(wanted), got)


def _in_words(length: PieceLength) -> str:
    return f"pieces of {length.frames} frames and {length.following} following ones"


def _build(
    corpus: str,
    config: str,
    data_dir: Path,
    splits: dict[str, list[RecordingGroup]],
    summary: Summary,
    piece_length: PieceLength,
    workers: int,
) -> None:
    from spectrodiff.data.prepare.builder import CorpusBuilder

    groups = list(itertools.chain(*splits.values()))
    num_recordings = sum(len(group.mixes) for group in groups)
    with (
        Progress(f"preparing {corpus}", num_recordings, "recording") as progress,
        contextlib.closing(read_groups(groups, workers)) as outcomes,
    ):
        counted = _with_progress(outcomes, groups, progress)
        arguments = corpus, config, data_dir.absolute(), splits, summary, piece_length
        _run(CorpusBuilder(*arguments, outcomes=counted))


def _with_progress(
    outcomes: Iterator[Outcome], groups: Sequence[RecordingGroup], progress: Progress
) -> Iterator[Outcome]:
    for group, outcome in zip(groups, outcomes, strict=True):
        progress.advance(len(group.mixes))
        yield outcome


def _build_with_beam(
    corpus: str,
    config: str,
    data_dir: Path,
    splits: dict[str, list[RecordingGroup]],
    summary: Summary,
    piece_length: PieceLength,
    beam_options: Sequence[str],
) -> None:
    options = _pipeline_options(beam_options)
    from spectrodiff.data.prepare.builder import BeamCorpusBuilder

    builder = BeamCorpusBuilder(corpus, config, data_dir.absolute(), splits, summary, piece_length)
    try:
        _run(builder, options)
    except (RuntimeError, ValueError) as error:
        if _FAILED_WRITE.search(str(error)):
            raise
        # A runner that cannot be started, or whose workers fail; Beam has no exception of its own.
        logger.debug("Beam failed", exc_info=True)
        expected = "a runner that can run the preparation"
        raise ConfigError("--beam", expected, f"{type(error).__name__}: {error}") from error


def _pipeline_options(words: Sequence[str]) -> "PipelineOptions":
    """Parses options of Beam, and checks that there is such a runner."""
    try:
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
        from apache_beam.runners.runner import create_runner
    except ImportError as error:
        raise ConfigError("beam", "the package apache-beam", "none installed") from error
    options = PipelineOptions(list(words))
    runner = options.view_as(StandardOptions).runner
    try:
        if runner:
            create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        expected = "a runner of Apache Beam, such as DirectRunner"
        raise ConfigError("--beam", expected, f"{runner} ({first_line(error)})") from error
    return options


def _run(
    builder: "tfds.core.DatasetBuilder", beam_options: "PipelineOptions | None" = None
) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    settings = tfds.download.DownloadConfig(beam_options=beam_options, try_download_gcs=False)
    # TFDS requires a download folder, even without downloads.
    with temporary_folder() as downloads:
        builder.download_and_prepare(download_dir=downloads, download_config=settings)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Converts errors of writing to OutputError."""
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from error
    except RuntimeError as error:
        if not _FAILED_WRITE.search(str(error)):
            raise
        raise unwritable(folder, OSError(str(error).split(";")[0])) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a lock that the system releases when this process ends."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / ".lock").acquire(blocking=False)
    except Timeout:
        expected = "one preparation at a time"
        raise OutputError(folder, expected, "another one that is running") from None
    with held:
        yield
