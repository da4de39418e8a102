"""Turning a planned corpus into a dataset on disk, all of it or nothing."""

import contextlib
import fcntl
import itertools
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import ConfigError, OutputError
from spectrodiff.core.progress import Progress
from spectrodiff.data.prepare.summary import Summary
from spectrodiff.data.prepare.workers import read_tracks
from spectrodiff.data.recordings import Outcome, Plan, Track
from spectrodiff.data.source import SUMMARY_FILE, dataset_folder

logger = logging.getLogger(__name__)


def prepare(
    corpus: str,
    config: str,
    plan: Plan,
    data_dir: Path,
    *,
    workers: int = 1,
    beam_options: Sequence[str] | None = None,
) -> Summary:
    """Writes `data_dir/corpus/config/version`; if that is there already, only tells what it holds.

    The folder appears when it is complete. What a killed preparation left is cleared away.

    Args:
        corpus: name of the corpus.
        config: name of its variant.
        plan: the corpus.
        data_dir: where datasets are kept.
        workers: processes to read with.
        beam_options: None, or the options of an Apache Beam pipeline to prepare the corpus with.

    Raises:
        CorpusError: if a split has no usable recordings.
        OutputError: if the folder cannot be written, the disk is full, or another process is just
            preparing the same corpus.
        ConfigError: if Beam is wanted and not installed.
    """
    folder = dataset_folder(data_dir, corpus, config)
    with _writing(folder), _locked(folder.parent):
        if folder.exists():
            logger.info("%s is already prepared; delete the folder to prepare it again", folder)
            return Summary.load(folder / SUMMARY_FILE)
        for leftover in folder.parent.glob(f"incomplete.*_{folder.name}"):
            shutil.rmtree(leftover)
        pieces = {
            split: [piece for track in tracks for piece in track.pieces()]
            for split, tracks in plan.splits.items()
            if tracks
        }
        summary = Summary.of_plan(plan)
        summary.check_plan(corpus)
        if beam_options is None:
            _build(corpus, config, data_dir, pieces, summary, workers)
        else:
            _build_with_beam(corpus, config, data_dir, pieces, summary, beam_options)
        return summary


def _build(
    corpus: str,
    config: str,
    data_dir: Path,
    splits: dict[str, list[Track]],
    summary: Summary,
    workers: int,
) -> None:
    from spectrodiff.data.prepare.builder import CorpusBuilder

    tracks = list(itertools.chain(*splits.values()))
    num_recordings = sum(len(track.mixes) for track in tracks)
    with (
        Progress(f"preparing {corpus}", num_recordings, "recording") as progress,
        contextlib.closing(read_tracks(tracks, workers)) as outcomes,
    ):
        counted = _advancing(outcomes, tracks, progress)
        arguments = corpus, config, data_dir.absolute(), splits, summary
        _run(CorpusBuilder(*arguments, outcomes=counted))


def _advancing(
    outcomes: Iterator[Outcome], tracks: Sequence[Track], progress: Progress
) -> Iterator[Outcome]:
    for track, outcome in zip(tracks, outcomes, strict=True):
        progress.advance(len(track.mixes))
        yield outcome


def _build_with_beam(
    corpus: str,
    config: str,
    data_dir: Path,
    splits: dict[str, list[Track]],
    summary: Summary,
    beam_options: Sequence[str],
) -> None:
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ConfigError("beam", "the package apache-beam", "none installed") from error
    from spectrodiff.data.prepare.builder import BeamCorpusBuilder

    builder = BeamCorpusBuilder(corpus, config, data_dir.absolute(), splits, summary)
    _run(builder, PipelineOptions(list(beam_options)))


def _run(builder: Any, beam_options: Any = None) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    settings = tfds.download.DownloadConfig(beam_options=beam_options, try_download_gcs=False)
    # TFDS wants a folder for downloads, though there are none.
    with tempfile.TemporaryDirectory() as downloads:
        builder.download_and_prepare(download_dir=downloads, download_config=settings)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns what goes wrong while writing into one clear error."""
    expected = "a place that can be written to"
    try:
        yield
    except OSError as error:
        raise OutputError(folder, expected, error.strerror or str(error)) from error
    except RuntimeError as error:
        # The array_record library has no error of its own.
        if "write() failed" not in str(error):
            raise
        raise OutputError(folder, expected, str(error).split(";")[0]) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a lock that ends with this process, however that happens."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            expected = "one preparation at a time"
            raise OutputError(folder, expected, "another that is running") from error
        yield
