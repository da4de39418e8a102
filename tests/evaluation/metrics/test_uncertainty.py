import numpy as np
import pytest

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all
from spectrodiff.evaluation.metrics.uncertainty import (
    bootstrap_frechet,
    bootstrap_mean,
    frechet_at_infinity,
    score_frechet,
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
def test_bootstrap_resamples_songs_together_with_their_targets(dims):
    """Two songs have three resamples: either song twice, or both."""
    rng = np.random.default_rng(0)
    predictions = [rng.normal(size=(20, dims)), rng.normal(2, 1, size=(35, dims))]
    targets = [rng.normal(5, 1, size=(25, dims)), rng.normal(2, 1, size=(30, dims))]

    def distance(*songs):
        return frechet_distance(
            Statistics.of(np.concatenate([predictions[song] for song in songs])),
            Statistics.of(np.concatenate([targets[song] for song in songs])),
        )

    # A quarter of the resamples is song 0 twice, a quarter song 1 twice; these are the extremes.
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
        extrapolated.append(frechet_at_infinity(songs, target, seed=seed))
        plain.append(frechet_distance(merge_all(map(Statistics.of, songs)), target))
    bias = np.mean(plain) - true
    assert bias > 0.1
    assert abs(np.mean(extrapolated) - true) < 0.6 * bias
    assert extrapolated[-1] == frechet_at_infinity(songs, target, seed=7)
    assert extrapolated[-1] != frechet_at_infinity(songs, target, seed=8)


def test_extrapolation_is_the_line_through_its_points():
    """The distance of identical frames does not depend on their number."""
    target = Statistics(1, np.zeros(3), np.zeros((3, 3)))
    assert frechet_at_infinity([np.full((40, 3), 2.0)], target) == pytest.approx(12)


def test_too_few_frames_to_extrapolate():
    with pytest.raises(AudioError, match="enough frames to extrapolate from, got 2"):
        frechet_at_infinity([np.eye(2)], Statistics.of(np.eye(2)))


def random_songs(count, frames=80, dims=4, seed=0):
    rng = np.random.default_rng(seed)
    predictions = [rng.normal(size=(frames + song, dims)) for song in range(count)]
    return predictions, [rng.normal(1, 2, (frames, dims)) for _ in range(count)]


def test_frechet_distance_of_a_corpus():
    predictions, targets = random_songs(5)
    found = score_frechet(predictions, targets, replicates=50)
    target = Statistics.of(np.concatenate(targets))
    expected = frechet_distance(Statistics.of(np.concatenate(predictions)), target)
    assert found.distance == pytest.approx(expected, rel=1e-10)
    assert found.interval.low < found.interval.high
    infinite = frechet_at_infinity(predictions, target)
    assert found.extrapolated == pytest.approx(infinite, rel=1e-10)
    assert found.extrapolated < found.distance
    same = score_frechet(targets, targets, replicates=0)
    assert same.distance == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_few_songs_and_frames():
    one = score_frechet(*random_songs(1))
    assert one.interval is None
    assert one.extrapolated is not None
    assert score_frechet(*random_songs(2, frames=20)).extrapolated is None
    assert score_frechet(*random_songs(2), replicates=0).interval is None


def test_songs_of_different_embeddings_are_refused():
    predictions, targets = random_songs(1)
    others = random_songs(1, dims=5)
    with pytest.raises(AudioError, match="same number of dimensions"):
        score_frechet(predictions + others[0], targets + others[1])
    with pytest.raises(AudioError, match="at least one recording, got none"):
        score_frechet([], [])
