import numpy as np
import pytest

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance
from spectrodiff.evaluation.metrics.uncertainty import (
    bootstrap_frechet,
    bootstrap_mean,
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
    targets = [rng.normal(5, 1, size=(25, dims)), rng.normal(6, 1, size=(30, dims))]

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
        replicates=2000,
    )
    assert interval.high - interval.low == pytest.approx(extremes[1] - extremes[0], rel=1e-9)
    # Their mean is moved to the distance of both songs.
    shift = distance(0, 1) - (sum(extremes) / 4 + distance(0, 1) / 2)
    margin = 0.05 * (extremes[1] - extremes[0])
    assert interval.low == pytest.approx(extremes[0] + shift, abs=margin)


def test_bootstrap_of_unpaired_songs_resamples_both_sides_independently():
    """Four equally likely pairs of extremes, of which paired songs would have two."""
    mean = [Statistics(10, np.array([x]), np.zeros((1, 1))) for x in (0.0, 1.0, 10.0, 12.0)]
    # Resampled means of two songs without variance within: 0, 0.5 and 1, and 10, 11 and 12. The
    # distance is (a - b)^2 + (s_a - s_b)^2, where s is half the range, or 0 for one song twice.
    distances = {
        (a - b) ** 2 + (s - t) ** 2: p * q
        for a, s, p in ((0, 0, 0.25), (0.5, 0.5, 0.5), (1, 0, 0.25))
        for b, t, q in ((10, 0, 0.25), (11, 1, 0.5), (12, 0, 0.25))
    }
    expected_mean = sum(value * chance for value, chance in distances.items())
    shift = 10.5**2 + 0.5**2 - expected_mean
    interval = bootstrap_frechet(mean[:2], mean[2:], replicates=2000, paired=False)
    assert interval.low == pytest.approx(81 + shift, abs=1)
    assert interval.high == pytest.approx(144 + shift, abs=1)
    # A single reference stays as it is.
    fixed = bootstrap_frechet(mean[:2], mean[2:3], replicates=2000, paired=False)
    shift = 9.5**2 + 0.5**2 - (100 / 4 + (9.5**2 + 0.5**2) / 2 + 81 / 4)
    assert fixed.low == pytest.approx(81 + shift, abs=0.5)
    assert fixed.high == pytest.approx(100 + shift, abs=0.5)


def test_the_interval_holds_the_distance():
    """Without the shift, two thirds of such intervals lie above the distance."""
    rng = np.random.default_rng(3)
    for seed in range(5):
        sides = [[Statistics.of(rng.normal(size=(30, 8))) for _ in range(6)] for _ in range(2)]
        interval = bootstrap_frechet(*sides, replicates=100, seed=seed)
        total = [sum_up(side) for side in sides]
        assert 0 <= interval.low < frechet_distance(*total) < interval.high


def sum_up(songs):
    """Statistics of songs of one length, from the moments of all frames."""
    mean = np.mean([song.mean for song in songs], axis=0)
    moments = [song.covariance + np.outer(song.mean, song.mean) for song in songs]
    count = sum(song.count for song in songs)
    return Statistics(count, mean, count * (np.mean(moments, axis=0) - np.outer(mean, mean)))


def test_bootstrap_refuses_songs_without_their_targets():
    statistics = Statistics.of(np.eye(3))
    with pytest.raises(ValueError, match="2 predictions and 3 targets"):
        bootstrap_frechet([statistics] * 2, [statistics] * 3)


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
    assert found.interval.low < found.distance < found.interval.high


def test_extrapolation_of_a_corpus():
    """Means differ by 0.15 on each of 48 axes; the rest of the distance is that of few frames."""
    predictions, targets = np.random.default_rng(0).normal(size=(2, 5, 150, 48))
    predictions, true = list(predictions + 0.15), 48 * 0.15**2
    found = score_frechet(predictions, list(targets), replicates=0)
    assert found.extrapolated == pytest.approx(true, abs=0.25 * (found.distance - true))
    again = score_frechet(predictions, list(targets), replicates=0)
    assert again.extrapolated == pytest.approx(found.extrapolated, rel=1e-9)
    other = score_frechet(predictions, list(targets), replicates=0, seed=1)
    assert other.extrapolated != pytest.approx(found.extrapolated, rel=1e-6)


def test_a_recording_compared_with_itself():
    _, targets = random_songs(5)
    same = score_frechet(targets, targets, replicates=0)
    assert same.distance == pytest.approx(0, abs=1e-6)
    assert same.extrapolated == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_few_songs_and_frames():
    assert score_frechet(*random_songs(1)).interval is None
    # The smallest subset has about 8 of 40 frames.
    assert score_frechet(*random_songs(2, frames=20)).extrapolated is None
    assert score_frechet(*random_songs(2), replicates=0).interval is None


def test_songs_of_different_embeddings_are_refused():
    predictions, targets = random_songs(1)
    others = random_songs(1, dims=5)
    with pytest.raises(AudioError, match="same number of dimensions"):
        score_frechet(predictions + others[0], targets + others[1])
    with pytest.raises(AudioError, match="at least one recording, got none"):
        score_frechet([], [])
