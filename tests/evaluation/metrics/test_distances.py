import pickle

import numpy as np
import pytest

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.metrics.distances import (
    Statistics,
    frame_distances,
    frechet_distance,
    merge_all,
)


@pytest.fixture(scope="module")
def reference(golden):
    return dict(np.load(golden / "embedding_metrics.npz"))


def distance(a, b):
    return frechet_distance(Statistics.of(a), Statistics.of(b))


@pytest.mark.parametrize(
    ("name", "key"),
    [("small", "frechet"), ("vggish_like", "frechet"), ("wide", "frechet_diagonal")],
)
def test_frechet_distance_is_that_of_the_paper(reference, name, key):
    ours = distance(reference[f"{name}_a"], reference[f"{name}_b"])
    assert ours == pytest.approx(float(reference[f"{name}_{key}"]), rel=1e-9)


@pytest.mark.parametrize("name", ["small", "vggish_like"])
def test_reconstruction_distance_is_that_of_the_paper(reference, name):
    ours = frame_distances(reference[f"{name}_a"], reference[f"{name}_b"]).mean()
    assert ours == pytest.approx(float(reference[f"{name}_mean_distance"]), rel=1e-12)


def test_frechet_distance_of_known_gaussians():
    # On two axes: means 3 apart on the first; deviations 1 and 2, 3 and 5.
    # 3^2 + (1 - 2)^2 + (3 - 5)^2 = 14.
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], float)
    assert distance(corners * [1, 3], corners * [2, 5] + [3, 0]) == pytest.approx(14, abs=1e-12)


def test_covariances_that_do_not_commute():
    # S_a = diag(4, 1) and S_b is that turned by 45 degrees. For 2 x 2 matrices the trace of the
    # root of a product P is sqrt(tr P + 2 sqrt(det P)): tr P = 12.5, det P = 16.
    corners = np.array([[2, 1], [2, -1], [-2, 1], [-2, -1]], float)
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    expected = 5 + 5 - 2 * np.sqrt(12.5 + 2 * np.sqrt(16))
    assert distance(corners, corners @ turn) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 20])
def test_fewer_frames_than_dimensions(frames):
    # Then the trace is the sum of the singular values of the small matrix of all products of a
    # frame with a frame.
    rng = np.random.default_rng(frames)
    a = rng.normal(size=(frames, 64))
    b = 3 * rng.normal(size=(30, 64)) + 1
    centered_a, centered_b = a - a.mean(axis=0), b - b.mean(axis=0)
    products = centered_a @ centered_b.T / np.sqrt(frames * 30)
    expected = (
        np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
        + np.sum(centered_a**2) / frames
        + np.sum(centered_b**2) / 30
        - 2 * np.linalg.svd(products, compute_uv=False).sum()
    )
    assert distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_constant_embeddings():
    """Silence gives the same vector in every frame: a covariance of zero."""
    silent, other = np.full((10, 4), 2.0), np.full((12, 4), 5.0)
    assert distance(silent, other) == 4 * 9
    assert distance(silent, silent) == 0


def test_distance_to_itself_is_zero(reference):
    a = reference["vggish_like_a"]
    assert distance(a, a) == pytest.approx(0, abs=1e-8)
    assert distance(a[:50], a[:50]) == pytest.approx(0, abs=1e-8)  # fewer frames than dimensions


@pytest.mark.parametrize("dims", [3, 1025])
def test_merging_is_the_same_as_at_once(dims):
    rng = np.random.default_rng(0)
    # Far from zero: sums of squares would have lost all digits.
    frames = 1e6 + rng.normal(size=(100, dims))
    parts = [Statistics.of(part) for part in np.split(frames, [1, 2, 40, 75])]
    merged = merge_all(pickle.loads(pickle.dumps(part)) for part in parts)
    other_order = merge_all([parts[3], parts[0], merge_all([parts[4], parts[2]]), parts[1]])
    deviations = frames - frames.mean(axis=0)
    covariance = deviations.T @ deviations / 100
    if dims > 1024:
        covariance = np.diag(covariance)
    for statistics in (merged, other_order):
        assert statistics.count == 100
        np.testing.assert_allclose(statistics.mean, frames.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(statistics.covariance, covariance, rtol=1e-6, atol=1e-8)


def test_longer_embeddings_are_cut():
    prediction = np.array([[0, 0], [1, 1], [9, 9]], np.float32)
    target = np.array([[3, 4], [1, 1]], np.float32)
    assert frame_distances(prediction, target).tolist() == [5, 0]
    assert frame_distances(target, prediction).tolist() == [5, 0]


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 4)), np.zeros((3, 0)), np.zeros(4), np.full((2, 4), np.nan)]
)
def test_no_statistics_of_nothing(frames):
    with pytest.raises(AudioError, match="embedding"):
        Statistics.of(frames)


def test_embeddings_that_do_not_fit():
    a, b = np.ones((5, 4)), np.ones((5, 3))
    with pytest.raises(AudioError, match="same number of dimensions, got 4 and 3"):
        distance(a, b)
    with pytest.raises(AudioError, match="same number of dimensions"):
        Statistics.of(a).merge(Statistics.of(b))
    with pytest.raises(AudioError, match="same dimensions"):
        frame_distances(a, b)
    with pytest.raises(AudioError, match="with frames"):
        frame_distances(a, a[:0])
    with pytest.raises(AudioError, match="finite vectors"):
        frame_distances(a, np.where(a, np.nan, 0))
    with pytest.raises(AudioError, match="at least one recording"):
        merge_all([])
