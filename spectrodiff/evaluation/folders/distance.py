"""Frechet audio distance (FAD) of two folders, with its uncertainty."""

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spectrodiff.audio.files import read_audio, source_rate
from spectrodiff.core.errors import AudioError, ConfigError, first_line
from spectrodiff.core.files import check_writable, open_regular, write_array
from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.columns import identifier
from spectrodiff.evaluation.folders.sources import Recordings, open_source, read_vectors
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all
from spectrodiff.evaluation.metrics.embeddings.embedding import Embedding, embed
from spectrodiff.evaluation.metrics.extrapolation import NestedSubsets, frechet_at_infinity
from spectrodiff.evaluation.metrics.uncertainty import REPLICATES, Interval, bootstrap_frechet
from spectrodiff.evaluation.store import read_array

logger = logging.getLogger(__name__)

STORED = "stored embeddings"

# Files beyond this number share groups, which the bootstrap then draws from, so that memory does
# not grow with the number of files.
MAX_GROUPS = 50
# Decompositions of smaller matrices are faster on one core than on several.
_LARGE_DIMS = 256


@dataclass(frozen=True)
class Side:
    """Number of files and frames of one side; None if only statistics are known."""

    files: int | None
    frames: int | None


@dataclass(frozen=True)
class FolderDistance:
    """Frechet distance of two folders.

    Attributes:
        embedding: name of the embedding.
        distance: Frechet distance between all frames of both.
        interval: 95 % confidence interval, a bootstrap over files; None for a single evaluated
            file, or without replicates.
        extrapolated: distance without the bias of a finite number of frames (FAD-infinity); None
            where it cannot be trusted.
        evaluated: size of the side that is evaluated.
        reference: size of the side that it is compared with.
        per_file: distance of each evaluated file to the whole reference; empty unless asked for.
        damaged: messages about the files that were left out.
    """

    embedding: str
    distance: float
    interval: Interval | None
    extrapolated: float | None
    evaluated: Side
    reference: Side
    per_file: Mapping[str, float]
    damaged: Sequence[str]


def folder_distance(
    evaluated: str | os.PathLike[str],
    reference: str | os.PathLike[str],
    embedding: Embedding | None = None,
    *,
    checksum: str | None = None,
    per_file: bool = False,
    cache: str | os.PathLike[str] | None = None,
    skip_damaged: bool = False,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: bool = False,
) -> FolderDistance:
    """Computes the Frechet audio distance of two folders of audio.

    Files are read at the rate of the embedding, channels are averaged, and what is shorter than a
    second is padded with zeros. Covariances are divided by N - 1, as other tools do, but not
    `eval.py`. Memory does not grow with the number of files.

    Args:
        evaluated: folder of audio, folder of embeddings, or statistics; see `open_source`.
        reference: the same, of what it is compared with.
        embedding: embedding of audio; None if both sides are embeddings or statistics.
        checksum: checksum of the weights of the embedding, part of names in the cache.
        per_file: True to compute the distance of each evaluated file to the reference as well.
        cache: folder where embeddings are stored and looked up by the contents of the audio files.
        skip_damaged: True to leave out files that cannot be read, with a warning.
        replicates: number of bootstrap replicates; 0 for no interval.
        seed: seed of the bootstrap and of the extrapolation.
        progress: True to report progress.

    Returns:
        The distance, its 95 % interval, the one extrapolated to infinitely many frames, and those
        of single files.

    Raises:
        AudioError: if there are no files or one cannot be read, or the dimensions differ.
        CheckpointError: if the embedding returns anything but finite vectors.
        ConfigError: if audio has no embedding, or embeddings are to be embedded.
        OutputError: if the cache is not writable.
    """
    name = embedding.name if embedding else None
    sources = [open_source(path, name) for path in (evaluated, reference)]
    _check_needed(sources, embedding)
    if not skip_damaged:
        # A wrong file is found before hours of work.
        for source in sources:
            _check_readable(source)
    read = _Reader(embedding, checksum, Path(cache) if cache is not None else None)
    num_groups = MAX_GROUPS if replicates else 1
    theirs, ours = _Summary(num_groups, seed), _Summary(num_groups, seed)
    distances: dict[str, float] = {}
    # Products of small matrices: threads wait for each other longer than they work.
    with _blas_threads(1):
        theirs.add_source(sources[1], read, skip_damaged, progress)
        reference_statistics = _unbiased(theirs.total())

        def compare(file: str, statistics: Statistics) -> None:
            distances[file] = frechet_distance(_unbiased(statistics), reference_statistics)

        ours.add_source(
            sources[0],
            read,
            skip_damaged,
            progress,
            compare if per_file else None,
            dims=len(reference_statistics.mean),
        )
    with _blas_threads(None if len(reference_statistics.mean) > _LARGE_DIMS else 1):
        distance = frechet_distance(_unbiased(ours.total()), reference_statistics)
        interval = None
        if replicates and ours.files:
            interval = bootstrap_frechet(
                ours.groups,
                theirs.groups,
                replicates=replicates,
                seed=seed,
                # Renderings and recordings of the same songs are alike.
                paired=ours.files == theirs.files,
            )
        extrapolated = None
        if ours.files:
            extrapolated = frechet_at_infinity(
                ours.subsets(), theirs.subsets() if theirs.files else reference_statistics
            )
    return FolderDistance(
        embedding=name or STORED,
        distance=distance,
        interval=interval,
        extrapolated=extrapolated,
        evaluated=ours.side(),
        reference=theirs.side(),
        per_file=distances,
        damaged=[*theirs.damaged, *ours.damaged],
    )


class _Summary:
    """Statistics of one side, file by file."""

    def __init__(self, num_groups: int, seed: int) -> None:
        self._num_groups = num_groups
        self.groups: list[Statistics] = []
        self.files: list[str] = []
        self.damaged: list[str] = []
        self._subsets = NestedSubsets(seed=seed)

    def add_source(
        self,
        source: Recordings | Statistics,
        read: "_Reader",
        skip_damaged: bool,
        progress: bool,
        per_file: Callable[[str, Statistics], None] | None = None,
        dims: int | None = None,
    ) -> None:
        """Adds all files of a side, and calls a function with the statistics of each.

        Raises:
            AudioError: if there is no file that can be read, or one has other than `dims`
                dimensions.
        """
        if isinstance(source, Statistics):
            self.groups = [source]
            return
        with Progress(str(source.folder), len(source.files), "file", progress) as bar:
            for name, path in source.files.items():
                try:
                    frames = read(path, source.embedded)
                except AudioError as error:
                    if not skip_damaged:
                        raise
                    logger.warning("left out: %s", error)
                    self.damaged.append(str(error))
                else:
                    if dims is not None and frames.shape[1] != dims:
                        expected = f"vectors of {dims} dimensions, as on the other side"
                        raise AudioError(path, expected, f"{frames.shape[1]}")
                    statistics = self._add(name, frames)
                    if per_file:
                        per_file(name, statistics)
                bar.advance()
        if not self.files:
            raise AudioError(source.folder, "a file that can be read", "none")

    def total(self) -> Statistics:
        """Returns the statistics of all files."""
        return merge_all(self.groups)

    def subsets(self) -> list[Statistics]:
        """Returns the statistics of nested random subsets of the frames."""
        return [_unbiased(subset) for subset in self._subsets.statistics()]

    def side(self) -> Side:
        """Returns the number of files and frames."""
        return Side(len(self.files), self.total().count) if self.files else Side(None, None)

    def _add(self, name: str, frames: np.ndarray) -> Statistics:
        statistics = Statistics.of(frames)
        if len(self.groups) < self._num_groups:
            self.groups.append(statistics)
        else:
            number = len(self.files) % self._num_groups
            self.groups[number] = self.groups[number].merge(statistics)
        self._subsets.add(name, frames)
        self.files.append(name)
        return statistics


class _Reader:
    """Reader of embeddings: computed from audio, looked up in the cache, or stored by others."""

    def __init__(
        self, embedding: Embedding | None, checksum: str | None, cache: Path | None
    ) -> None:
        self._embedding, self._cache = embedding, None
        if embedding and cache:
            self._cache = cache / identifier(embedding.name, checksum)
            check_writable(self._cache)  # before hours of work

    def __call__(self, path: Path, embedded: bool) -> np.ndarray:
        if embedded:
            return read_vectors(path)
        if self._cache is None:
            return self._embed(path)
        stored = self._cache / f"{_content_hash(path)}.npy"
        if not stored.is_file():
            write_array(stored, self._embed(path))
        return read_array(stored)

    def _embed(self, path: Path) -> np.ndarray:
        assert self._embedding is not None
        rate = self._embedding.sample_rate
        audio = read_audio(path, rate)
        return embed(self._embedding, audio, str(path), sample_rate=rate, whole_seconds=False)


def _check_needed(sources: Sequence[Recordings | Statistics], embedding: Embedding | None) -> None:
    audio = [s for s in sources if isinstance(s, Recordings) and not s.embedded]
    if audio and embedding is None:
        raise ConfigError("embedding", f"one, since {audio[0].folder} holds audio", "none")
    if not audio and embedding is not None:
        raise ConfigError("embedding", "none, since neither side is audio", embedding.name)


def _check_readable(source: Recordings | Statistics) -> None:
    if isinstance(source, Recordings) and not source.embedded:
        for path in source.files.values():
            source_rate(path)


def _unbiased(statistics: Statistics) -> Statistics:
    """Returns statistics whose covariance is divided by N - 1.

    Those of a single frame, or that were read from a file, stay as they are.
    """
    if statistics.count < 2:
        return statistics
    factor = statistics.count / (statistics.count - 1)
    return replace(statistics, scatter=statistics.scatter * factor)


def _blas_threads(count: int | None) -> contextlib.AbstractContextManager[object]:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(count, user_api="blas")


def _content_hash(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "blake2s").hexdigest()[:32]
    except OSError as error:
        raise AudioError(path, "a readable file", first_line(error)) from error
