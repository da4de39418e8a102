"""Statistics of items and paired intervals, worked out by hand."""

import numpy as np
import pytest

from spectrodiff.evaluation.metrics.paired import mean_interval
from spectrodiff.music.notes import merge_notes


@pytest.mark.parametrize(
    ("statistic", "items", "expected"),
    [
        ("mean", [[1], [2], [6]], 3),
        ("sum", [[1], [0], [1]], 2),
        ("quotient", [[1, 2], [2, 6]], 3 / 8),
        ("double quotient", [[6, 2, 1, 1], [6, 1, 3, 3]], 4),
        # Mean powers 8 / 2 and 2 / 5, a ratio of 10.
        ("decibels", [[8, 1, 1, 2], [0, 1, 1, 3]], 10),
        ("median", [[3], [-1], [5], [4]], 3.5),
        # Around the median 2: 1, 0, 0, 6, so the median is 0.5, and the percentile at rank 2.85.
        ("centered median", [[1], [2], [2], [8]], 0.5),
        ("centered 95th percentile", [[1], [2], [2], [8]], 1 + 0.85 * 5),
        ("centered deviation", [[1], [5]], 2),
        ("absolute median", [[-4], [None], [1], [2]], 2),
        ("absolute 95th percentile", [[-4], [None], [1], [2]], 2 + 0.9 * 2),
        ("absolute median", [[None], [None]], np.nan),
    ],
)
def test_statistics(statistic, items, expected):
    from listening.statistics import compute

    found = compute(statistic, np.array(items, np.float64))
    assert found == pytest.approx(expected, nan_ok=True)
    # Replicates are computed side by side.
    stacked = compute(statistic, np.array([items, items], np.float64))
    np.testing.assert_allclose(stacked, [expected, expected])


def test_the_interval_of_two_items():
    from listening.statistics import paired_interval

    # Replicates take the differences 1 and 3 as 1, 1 or 1, 3 or 3, 3; a quarter is at either end.
    interval = paired_interval("mean", [[2.0], [7.0]], [[1.0], [4.0]])
    assert (interval.low, interval.high) == (1, 3)
    # Sums of two items are twice as large, and the sign is that of ours minus theirs.
    interval = paired_interval("sum", [[1.0], [4.0]], [[2.0], [7.0]])
    assert (interval.low, interval.high) == (-6, -2)
    # Quotients: 1 / 4, 4 / 8 or 3 / 4 of ours, always 1 / 2 of theirs.
    interval = paired_interval("quotient", [[1.0, 4], [3, 4]], [[2.0, 4], [2, 4]])
    assert (interval.low, interval.high) == (-0.25, 0.25)


def test_intervals_are_paired():
    from listening.statistics import paired_interval

    theirs = np.random.default_rng(0).normal(0, 100, (30, 1))
    for statistic in ("mean", "median"):
        interval = paired_interval(statistic, theirs + 0.5, theirs)
        assert (interval.low, interval.high) == pytest.approx((0.5, 0.5))


def test_the_interval_of_a_mean_is_that_of_the_mean_difference():
    from listening.statistics import paired_interval

    ours, theirs = np.random.default_rng(1).normal(0, 1, (2, 9, 1))
    found = paired_interval("mean", ours, theirs)
    expected = mean_interval([(ours - theirs)[:, 0]])
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)


def test_no_interval_without_pairs():
    from listening.statistics import paired_interval

    assert paired_interval("mean", [[1.0]], [[2.0]]) is None
    assert paired_interval("mean", [[1.0], [2.0]], [[2.0]]) is None
    assert paired_interval("absolute median", [[None], [None]], [[1.0], [2.0]]) is None


def test_items_can_be_stored():
    from listening.statistics import as_items

    assert as_items([1.0, np.nan]) == ((1.0,), (None,))
    assert as_items(np.array([[1, 2], [3, 4]])) == ((1.0, 2.0), (3.0, 4.0))
    assert as_items(np.zeros(0)) == ()


def test_counts_of_windows():
    from listening.onsets import count_windows, hit_windows

    written = np.array([0.1, 0.4, 0.6, 1.7])
    # The second detected onset is in another window than its partner; 1.2 s is in none of them, so
    # it counts in the window that begins at 0.5 s.
    detected = np.array([0.1, 0.52, 1.2, 1.7])
    found = count_windows(written, detected, [(0, 0), (1, 1), (3, 3)])
    np.testing.assert_array_equal(found, [[2, 2, 2], [0, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(hit_windows(written, np.zeros(0))[:, 0], [0, 0, 0])
    assert hit_windows(np.zeros(0), detected).shape == (0, 3)


def test_counts_of_windows_add_up_to_those_of_the_song():
    from listening.onsets import onset_windows
    from listening.songs import make_notes

    from spectrodiff.evaluation.metrics.transcription.scores import score_onsets

    rng = np.random.default_rng(2)

    def notes():
        onsets = rng.uniform(0, 5, 150)
        return make_notes(onsets, rng.choice([0, 0.2], 150), rng.integers(60, 66, 150))

    drums = make_notes([1.0, 2.0], 0.1, [60, 61], is_drum=True)
    written, detected = merge_notes([notes(), drums]), merge_notes([notes(), drums])
    whole = score_onsets(written, detected)
    assert 10 < whole.pairs < whole.references
    np.testing.assert_array_equal(
        onset_windows(written, detected).sum(axis=0),
        [whole.pairs, whole.references, whole.estimates],
    )
    nothing = onset_windows(written, drums).sum(axis=0)
    np.testing.assert_array_equal(nothing, [0, whole.references, 0])
