"""Frechet distances of infinitely many frames, on Gaussians whose distance is known exactly."""

import itertools

import numpy as np
import pytest

from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance
from spectrodiff.evaluation.metrics.extrapolation import (
    NUM_SIZES,
    NestedSubsets,
    frechet_at_infinity,
)


def nested(songs, seed=0):
    subsets = NestedSubsets(seed=seed)
    for number, song in enumerate(songs):
        subsets.add(str(number), song)
    return subsets.statistics()


def songs_of(frames, length=100):
    return np.split(frames, range(length, len(frames), length))


def test_subsets_grow_to_all_frames():
    frames = np.random.default_rng(0).normal(size=(20_000, 3))
    subsets = nested(songs_of(frames, 700))
    assert len(subsets) == NUM_SIZES
    # From a fifth of the frames, in equal steps of 1 / N.
    shares = [1 / (5 - 4 * number / 14) for number in range(15)]
    np.testing.assert_allclose([s.count / 20_000 for s in subsets], shares, atol=0.02)
    whole = Statistics.of(frames)
    assert subsets[-1].count == 20_000
    np.testing.assert_allclose(subsets[-1].mean, whole.mean, atol=1e-12)
    np.testing.assert_allclose(subsets[-1].scatter, whole.scatter, rtol=1e-10, atol=1e-8)


def test_subsets_are_parts_of_the_next_and_the_same_for_the_same_names():
    """Frame i is the axis i, so means show which frames are in a subset."""
    chosen = [s.mean * s.count for s in nested([np.eye(60)])]
    assert all((one <= more + 1e-9).all() for one, more in itertools.pairwise(chosen))
    np.testing.assert_allclose(chosen[3], np.round(chosen[3]), atol=1e-9)
    again, other = nested([np.eye(60)]), nested([np.eye(60)], seed=1)
    np.testing.assert_array_equal(again[3].mean, nested([np.eye(60)])[3].mean)
    assert again[3].count != other[3].count or (again[3].mean != other[3].mean).any()
    # A shorter recording is sampled at the same frames, as far as it goes.
    shorter = nested([np.eye(60)[:50]])[3]
    np.testing.assert_allclose((shorter.mean * shorter.count)[:50], chosen[3][:50], atol=1e-9)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_bias_of_both_sides_is_removed(correlation):
    """Also where each frame of a song is like that of its recording."""
    rng = np.random.default_rng(0)
    dims, shift, scale = 48, 0.1, 1.1
    true = dims * (shift**2 + (scale - 1) ** 2)
    plain, extrapolated = [], []
    for seed in range(8):
        recording = rng.normal(size=(600, dims))
        own = rng.normal(size=(600, dims))
        song = correlation * recording + np.sqrt(1 - correlation**2) * own
        sides = [nested(songs_of(x), seed) for x in (shift + scale * song, recording)]
        plain.append(frechet_distance(sides[0][-1], sides[1][-1]))
        extrapolated.append(frechet_at_infinity(*sides))
    bias = np.mean(plain) - true
    assert bias > 0.3
    assert np.mean([value for value in extrapolated if value is not None]) == pytest.approx(
        true, abs=0.25 * bias
    )
    assert sum(value is not None for value in extrapolated) >= 6


def test_a_reference_that_does_not_shrink():
    """Against exact statistics: means differ by 0.1 on every axis, deviations are 1 and 1.1."""
    rng = np.random.default_rng(0)
    dims = 16
    true = dims * (0.1**2 + 0.1**2)
    target = Statistics(1, np.zeros(dims), 1.1**2 * np.eye(dims))
    songs = [songs_of(0.1 + rng.normal(size=(600, dims))) for _ in range(8)]
    bias = np.mean([frechet_distance(nested(song)[-1], target) for song in songs]) - true
    found = [frechet_at_infinity(nested(song, seed), target) for seed, song in enumerate(songs)]
    assert np.mean([value for value in found if value is not None]) == pytest.approx(
        true, abs=0.35 * bias
    )


def test_the_line_through_exact_points():
    """Sides of n and 2 n frames with a distance of exactly 3 + 8 (1 / n + 1 / 2 n)."""
    counts = np.arange(100, 100 + NUM_SIZES)
    ours = [
        Statistics(int(n), np.array([np.sqrt(3 + 8 * (1 / n + 1 / (2 * n)))]), np.zeros((1, 1)))
        for n in counts
    ]
    theirs = [Statistics(int(2 * n), np.zeros(1), np.zeros((1, 1))) for n in counts]
    assert frechet_at_infinity(ours, theirs) == pytest.approx(3, rel=1e-9)
    # Compared with one that stays, only 1 / n counts: 3 + 12 / n.
    assert frechet_at_infinity(ours, theirs[0]) == pytest.approx(3, rel=1e-9)


def statistics_with(distances, counts=range(100, 100 + NUM_SIZES)):
    """One-dimensional subsets at given squared distances from zero."""
    return [
        Statistics(count, np.array([np.sqrt(distance)]), np.zeros((1, 1)))
        for count, distance in zip(counts, distances, strict=True)
    ]


ZERO = Statistics(10**9, np.zeros(1), np.zeros((1, 1)))
INVERSES = 1 / np.arange(100, 100 + NUM_SIZES)


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        (1 + 10 * INVERSES, 1),
        (1 - 10 * INVERSES, None),  # distances that grow with N
        (-0.05 + 10 * INVERSES, None),  # below zero
        (1 + 10 * INVERSES + 7e-4 * (-1) ** np.arange(NUM_SIZES), 1),  # explains 0.97
        (1 + 10 * INVERSES + 1e-3 * (-1) ** np.arange(NUM_SIZES), None),  # 0.93
        (np.full(NUM_SIZES, 2.0), 2),  # no bias at all
        # Hardly any bias, however the line lies.
        (1 - 0.5 * INVERSES, 1),
        (1 + 5e-4 * (-1) ** np.arange(NUM_SIZES), 1),
    ],
)
def test_when_a_line_is_trusted(distances, expected):
    found = frechet_at_infinity(statistics_with(distances), ZERO)
    assert found is None if expected is None else found == pytest.approx(expected, abs=0.02)


def test_when_there_are_enough_frames():
    for least, dims in ((10, 1), (10, 5), (12, 6), (40, 20)):
        for smallest in (least - 1, least):
            subsets = [
                Statistics(smallest + more, np.full(dims, 2.0), np.zeros((dims, dims)))
                for more in range(NUM_SIZES)
            ]
            origin = Statistics(10, np.zeros(dims), np.zeros((dims, dims)))
            found = frechet_at_infinity(subsets, origin)
            assert (found is not None) == (smallest == least)
            assert (frechet_at_infinity([origin] * NUM_SIZES, subsets) is not None) == (
                smallest == least and least <= 10
            )
    # Of more than 1024 dimensions only variances count.
    wide = Statistics(10, np.zeros(1025), np.zeros(1025))
    assert frechet_at_infinity([wide] * NUM_SIZES, wide) == 0
    assert frechet_at_infinity(nested([np.eye(2)]), Statistics.of(np.eye(2))) is None
