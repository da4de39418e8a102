import numpy as np
import pytest

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all
from spectrodiff.evaluation.metrics.uncertainty import (
    bootstrap_frechet,
    bootstrap_mean,
    frechet_at_infinity,
)


def test_bootstrap_of_a_mean_is_about_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(5, 2, 400)
    interval = bootstrap_mean(values, replicates=4000)
    margin = 1.96 * values.std() / np.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - margin, abs=0.1 * margin)
    assert interval.high == pytest.approx(values.mean() + margin, abs=0.1 * margin)


def test_one_song_has_no_interval():
    assert bootstrap_mean([1.0]) is None
    statistics = Statistics.of(np.eye(3))
    assert bootstrap_frechet([statistics], [statistics]) is None


def test_equal_songs_have_an_interval_of_no_width():
    assert bootstrap_mean([2.0, 2.0, 2.0]).low == 2
    assert bootstrap_mean([2.0, 2.0, 2.0]).high == 2
    rng = np.random.default_rng(0)
    prediction = Statistics.of(rng.normal(size=(30, 4)))
    target = Statistics.of(rng.normal(size=(40, 4)))
    interval = bootstrap_frechet([prediction] * 3, [target] * 3, replicates=20)
    expected = frechet_distance(prediction, target)
    assert interval.low == pytest.approx(expected, rel=1e-9)
    assert interval.high == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dims", [4, 1025])
def test_bootstrap_draws_whole_songs_together_with_their_targets(dims):
    """With two songs there are three draws: either song twice, or both."""
    rng = np.random.default_rng(0)
    predictions = [rng.normal(size=(20, dims)), rng.normal(2, 1, size=(35, dims))]
    targets = [rng.normal(5, 1, size=(25, dims)), rng.normal(2, 1, size=(30, dims))]

    def distance(*songs):
        return frechet_distance(
            Statistics.of(np.concatenate([predictions[song] for song in songs])),
            Statistics.of(np.concatenate([targets[song] for song in songs])),
        )

    # A quarter of the draws is song 0 twice, a quarter song 1 twice; these are the extremes here.
    extremes = sorted([distance(0, 0), distance(1, 1)])
    assert extremes[0] < distance(0, 1) < extremes[1]
    interval = bootstrap_frechet(
        [Statistics.of(song) for song in predictions],
        [Statistics.of(song) for song in targets],
        replicates=100,
    )
    assert interval.low == pytest.approx(extremes[0], rel=1e-9)
    assert interval.high == pytest.approx(extremes[1], rel=1e-9)


def test_bootstrap_refuses_songs_without_their_targets():
    statistics = Statistics.of(np.eye(3))
    with pytest.raises(ValueError, match="2 predictions and 3 targets"):
        bootstrap_frechet([statistics] * 2, [statistics] * 3)


def test_extrapolation_removes_the_bias_of_few_frames():
    # Two Gaussians a known distance apart: means differ by 0.5 on every one of 16 axes, deviations
    # are 1 and 1.5. 16 * (0.25 + 0.25) = 8. The target is known exactly.
    rng = np.random.default_rng(0)
    dims, true = 16, 8.0
    target = Statistics(1, np.zeros(dims), 1.5**2 * np.eye(dims))
    plain, extrapolated = [], []
    for seed in range(8):
        songs = [0.5 + rng.normal(size=(60, dims)) for _ in range(10)]
        result = frechet_at_infinity(songs, target, seed=seed)
        extrapolated.append(result.value)
        plain.append(frechet_distance(merge_all(map(Statistics.of, songs)), target))
    assert (result.frames, result.smallest) == (600, 120)
    assert result.slope > 0
    assert 0 < result.r_squared <= 1
    bias = np.mean(plain) - true
    assert bias > 0.1
    assert abs(np.mean(extrapolated) - true) < 0.6 * bias
    assert result == frechet_at_infinity(songs, target, seed=7)
    assert result != frechet_at_infinity(songs, target, seed=8)


def test_extrapolation_is_the_line_through_its_points():
    """Frames that are all alike have a distance that does not depend on their number."""
    target = Statistics(1, np.zeros(3), np.zeros((3, 3)))
    result = frechet_at_infinity([np.full((40, 3), 2.0)], target)
    assert result.value == pytest.approx(12)
    assert result.slope == pytest.approx(0, abs=1e-9)


def test_too_few_frames_to_extrapolate():
    with pytest.raises(AudioError, match="enough frames to extrapolate from, got 2"):
        frechet_at_infinity([np.eye(2)], Statistics.of(np.eye(2)))
