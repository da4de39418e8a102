"""Distances between embeddings of rendered and of recorded audio.

Sums are float64 and merged by the formulas of Chan, Golub and LeVeque (1983), so frames can be
added in any number of parts, from any number of processes.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.errors import AudioError

# Above this many dimensions only the diagonal of the covariance is kept, as in the paper.
MAX_FULL_DIMS = 1024


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and covariance of the frames of an embedding, in a form that can be merged.

    Attributes:
        count: number of frames.
        mean: float64 [dims].
        scatter: sum over frames of the outer products of deviations from the mean, float64
            [dims, dims]; above 1024 dimensions only its diagonal [dims].
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray) -> "Statistics":
        """Returns the statistics of an embedding.

        Args:
            frames: vectors [frames, dims].

        Raises:
            AudioError: if there are no frames, or NaN in them.
        """
        frames = np.asarray(frames, np.float64)
        if frames.ndim != 2 or not frames.size:
            got = f"shape {frames.shape}"
            raise AudioError("embedding", "vectors [frames, dims]", got)
        if not np.isfinite(frames).all():
            raise AudioError("embedding", "finite vectors", "NaN or infinity")
        mean = frames.mean(axis=0)
        deviations = frames - mean
        if frames.shape[1] > MAX_FULL_DIMS:
            return cls(len(frames), mean, np.einsum("fd,fd->d", deviations, deviations))
        return cls(len(frames), mean, deviations.T @ deviations)

    def merge(self, other: "Statistics") -> "Statistics":
        """Returns the statistics of the frames of both.

        Args:
            other: statistics with the same number of dims.

        Raises:
            AudioError: if their dimensions differ.
        """
        _check_same_dims(self, other)
        count = self.count + other.count
        shift = other.mean - self.mean
        products = np.outer(shift, shift) if self.scatter.ndim == 2 else shift**2
        weight = self.count * other.count / count
        return Statistics(
            count,
            self.mean + shift * (other.count / count),
            self.scatter + other.scatter + weight * products,
        )

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the frames, divided by count, not by count - 1, as in the paper."""
        return self.scatter / self.count

    @functools.cached_property
    def root(self) -> np.ndarray:
        """Symmetric square root of a full covariance; kept, since a reference needs it often."""
        return _square_root(self.covariance)


def merge_all(parts: Iterable[Statistics]) -> Statistics:
    """Returns the statistics of the frames of all parts.

    Raises:
        AudioError: if there are no parts, or their dimensions differ.
    """
    total = None
    for part in parts:
        total = part if total is None else total.merge(part)
    if total is None:
        raise AudioError("embeddings", "at least one recording", "none")
    return total


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Computes the Frechet distance of two Gaussians.

    It is `|mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr sqrt(S_a S_b)` with means mu and covariances S.
    The last trace is the sum of the singular values of sqrt(S_a) sqrt(S_b). Symmetric square roots
    also exist for singular covariances, such as those of fewer frames than dimensions. The paper's
    code takes the root of the product, and adds 1e-7 to both diagonals where that fails.

    Args:
        a: statistics of one embedding [frames, dims].
        b: statistics of the other; the distance is symmetric.

    Returns:
        The distance, 0 or more.

    Raises:
        AudioError: if their dimensions differ.
    """
    _check_same_dims(a, b)
    between_means = float(np.sum((a.mean - b.mean) ** 2))
    if a.scatter.ndim == 1:
        deviations = np.sqrt(a.covariance) - np.sqrt(b.covariance)
        return between_means + float(np.sum(deviations**2))
    root_of_product = np.linalg.svd(a.root @ b.root, compute_uv=False)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    # Rounding can make the result slightly negative.
    return max(between_means + float(traces - 2 * root_of_product.sum()), 0.0)


def frame_distances(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes the L2 distance of two embeddings of one song, frame by frame.

    Its mean is the paper's reconstruction distance. The longer embedding is cut to the length of
    the shorter one.

    Args:
        prediction: embedding [frames, dims] of the rendering.
        target: embedding [frames, dims] of the recording.

    Returns:
        float64 [frames].

    Raises:
        AudioError: if there are no frames, NaN in them, or their dimensions differ.
    """
    frames = min(len(prediction), len(target))
    if prediction.shape[1:] != target.shape[1:] or not frames:
        got = f"shapes {prediction.shape} and {target.shape}"
        raise AudioError("embeddings", "two of the same dimensions, with frames", got)
    differences = prediction[:frames].astype(np.float64) - target[:frames]
    if not np.isfinite(differences).all():
        raise AudioError("embeddings", "finite vectors", "NaN or infinity")
    distances: np.ndarray = np.linalg.norm(differences, axis=1)
    return distances


def _square_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    # Eigenvalues that should be zero come out as rounding noise, whose root would not be small.
    noise = len(values) * np.finfo(np.float64).eps * max(values[-1], 0)
    return (vectors * np.sqrt(np.where(values > noise, values, 0))) @ vectors.T


def _check_same_dims(a: Statistics, b: Statistics) -> None:
    if a.mean.shape != b.mean.shape:
        got = f"{len(a.mean)} and {len(b.mean)}"
        raise AudioError("embeddings", "the same number of dimensions", got)
