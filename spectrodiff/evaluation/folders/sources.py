"""Sides of a Frechet distance: a folder of audio, a folder of embeddings, or statistics."""

import itertools
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectrodiff.checkpoints.layouts.npz_file import read_npz
from spectrodiff.checkpoints.tree import StoredArray, shown_name
from spectrodiff.core.errors import AudioError, CheckpointError
from spectrodiff.data.corpora.folders import ALL_AUDIO_SUFFIXES, group_by_name
from spectrodiff.evaluation.metrics.distances import MAX_FULL_DIMS, Statistics
from spectrodiff.evaluation.store import read_array

logger = logging.getLogger(__name__)

MAX_DIMS = 4096  # of statistics in a file; embeddings in use have up to 2048

_EXPECTED = "a folder of audio files or of embeddings (.npy), or a file of statistics (.npz)"


@dataclass(frozen=True)
class Recordings:
    """Files of one side.

    Attributes:
        folder: the folder.
        files: its files by name, the relative path without suffix, in order.
        embedded: True if they are embeddings, False if they are audio.
    """

    folder: Path
    files: Mapping[str, Path]
    embedded: bool


def open_source(
    path: str | os.PathLike[str], embedding: str | None = None
) -> Recordings | Statistics:
    """Finds the files of a folder, or reads statistics.

    Args:
        path: folder whose audio files, also in subfolders, are one side; if it has none, its
            `.npy` files. Or an `.npz` file with arrays `mu` [dims] and `cov` [dims, dims]; both
            names may begin with that of an embedding and a dot.
        embedding: name of the embedding, to choose among several in an `.npz` file.

    Raises:
        AudioError: if there is nothing, or the statistics are damaged.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz" and not path.is_dir():
        return read_statistics(path, embedding)
    if not path.is_dir():
        raise AudioError(path, _EXPECTED, "another file" if path.exists() else "nothing there")
    for suffixes in (ALL_AUDIO_SUFFIXES, (".npy",)):
        groups, skipped = group_by_name(path, suffixes)
        files = {}
        for name, same in sorted(groups.items()):
            kept = [file for file in same if not _is_converted(file, path)]
            for file in kept:
                files[name if len(kept) == 1 else f"{name}{file.suffix}"] = file
        if files:
            for skip in skipped:
                logger.warning("%s/%s: left out, %s", path, skip.id, skip.reason)
            return Recordings(path, files, embedded=suffixes == (".npy",))
    raise AudioError(path, _EXPECTED, "a folder with neither")


def is_audio(path: str | os.PathLike[str]) -> bool:
    """Returns True if a side is a folder of audio files."""
    source = open_source(path) if Path(path).is_dir() else None
    return isinstance(source, Recordings) and not source.embedded


def read_vectors(path: Path) -> np.ndarray:
    """Reads an embedding [frames, dims] from an `.npy` file, as float32.

    Raises:
        AudioError: if it is damaged, or not a finite embedding.
    """
    vectors = read_array(path)
    if vectors.ndim != 2 or not vectors.size or not np.issubdtype(vectors.dtype, np.floating):
        got = f"{vectors.dtype} of shape {vectors.shape}"
        raise AudioError(path, "floating point vectors [frames, dims]", got)
    if not np.isfinite(vectors).all():
        raise AudioError(path, "finite vectors", "NaN or infinity")
    return vectors.astype(np.float32, copy=False)


def read_statistics(path: Path, embedding: str | None = None) -> Statistics:
    """Reads the mean and the covariance of an embedding, as of one frame; see `open_source`.

    Raises:
        AudioError: if the file is missing, damaged, or has no statistics of this embedding.
    """
    try:
        arrays = read_npz(path)
    except CheckpointError as error:
        raise AudioError(path, "a file of statistics (.npz)", error.got) from None
    prefixes = [name[: -len("mu")] for name in arrays if name == "mu" or name.endswith(".mu")]
    wanted = [f"{embedding}."] if f"{embedding}." in prefixes else prefixes
    if len(wanted) != 1:
        expected = f"arrays mu and cov of {embedding or 'one embedding'}"
        got = ", ".join(map(shown_name, list(arrays)[:20])) or "no arrays"
        raise AudioError(path, expected, got)
    none = StoredArray((), lambda: np.zeros(()))
    stored = arrays[f"{wanted[0]}mu"], arrays.get(f"{wanted[0]}cov", none)
    shape = stored[0].shape
    if len(shape) != 1 or stored[1].shape != 2 * shape or not 1 <= shape[0] <= MAX_DIMS:
        got = f"shapes {shape} and {stored[1].shape}"
        raise AudioError(path, f"mu [dims] and cov [dims, dims], of at most {MAX_DIMS} dims", got)
    try:
        mean, covariance = (array.read().astype(np.float64) for array in stored)
    except CheckpointError as error:
        raise AudioError(path, error.expected, error.got) from None
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise AudioError(path, "finite statistics", "NaN or infinity")
    # The tolerance is that of float16, in which some tools store them.
    if not np.allclose(covariance, covariance.T, rtol=1e-3, atol=1e-3 * np.abs(covariance).max()):
        raise AudioError(path, "a symmetric covariance", "another matrix")
    if len(mean) > MAX_FULL_DIMS:
        covariance = np.diagonal(covariance)
    return Statistics(1, mean, covariance)


def _is_converted(file: Path, folder: Path) -> bool:
    """Returns True for copies at another rate, which fadtk leaves beside the recordings."""
    parts = file.relative_to(folder).parts[:-1]
    places = itertools.accumulate(parts, lambda place, part: place / part, initial=folder)
    return any(
        part == "convert" and (place / "embeddings").is_dir()
        for place, part in zip(places, parts, strict=False)
    )
