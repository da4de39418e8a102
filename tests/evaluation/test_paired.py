"""Paired tests against SciPy, and intervals against their formulas."""

import numpy as np
import pytest
import scipy.stats

from spectrodiff.evaluation.metrics.paired import holm, mean_interval, sign_flip_p_values


def scipy_p_value(first, second, resamples=np.inf):
    """SciPy's paired permutation test, which exchanges the two scores of a pair."""
    return scipy.stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=resamples,
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue


@pytest.mark.parametrize("pairs", [2, 5, 11])
def test_few_pairs_are_tested_exactly_as_by_scipy(pairs):
    rng = np.random.default_rng(pairs)
    first = rng.normal(size=(pairs, 4))
    # Rounded, so that several patterns of signs have the same sum.
    second = first - np.round(rng.normal(0.6, 1, (pairs, 4)), 1)
    found = sign_flip_p_values((first - second) / pairs)
    expected = [scipy_p_value(first[:, k], second[:, k]) for k in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_many_pairs_are_sampled_and_agree_with_scipy():
    rng = np.random.default_rng(5)
    differences = rng.normal(0.25, 1, (40, 2)) * [1, 0.2]
    found = sign_flip_p_values(differences / 40)
    for k in range(2):
        expected = scipy_p_value(differences[:, k], np.zeros(40), 99_999)
        # Both are estimates with a standard deviation of at most sqrt(1/4 / 99,999) = 0.0016.
        assert found[k] == pytest.approx(expected, abs=4 * np.sqrt(2) * 0.0016)
    assert np.array_equal(found, sign_flip_p_values(differences / 40))
    assert not np.array_equal(found, sign_flip_p_values(differences / 40, seed=1))


def test_p_values_by_hand():
    # All of one sign: only the pattern and its opposite reach the sum.
    assert sign_flip_p_values(np.array([[0.1], [0.2], [0.3]])) == pytest.approx([0.25])
    # |3 - 1| is reached by +-3 +-1, so by all four patterns.
    assert sign_flip_p_values(np.array([[3.0], [-1.0]])) == pytest.approx([1.0])
    # No differences at all, and pairs that a column lacks.
    columns = np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    assert sign_flip_p_values(columns) == pytest.approx([1.0, 0.5])
    # 40 equal differences of 0.1: rounding must not hide the ties, and p is never 0.
    assert sign_flip_p_values(np.full((40, 1), 0.1)) == pytest.approx([1e-5])


def test_holm_by_hand():
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.5 * 1, each at least as large as the one before.
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_intervals_are_those_of_the_mean_of_means():
    rng = np.random.default_rng(2)
    groups = [rng.normal(3, 1, 400), rng.normal(-1, 5, 400)]
    found = mean_interval([group.tolist() for group in groups], replicates=10_000)
    # Means of many values are normal; their variances add up, a quarter each.
    center = np.mean([group.mean() for group in groups])
    deviation = np.sqrt(sum(group.var() / len(group) for group in groups)) / 2
    assert found.low == pytest.approx(center - 1.96 * deviation, abs=0.1 * deviation)
    assert found.high == pytest.approx(center + 1.96 * deviation, abs=0.1 * deviation)


def test_one_value_has_no_interval():
    assert mean_interval([]) is None
    assert mean_interval([[1.0]]) is None
    assert mean_interval([[1.0, 2.0], [3.0]]) is None
    # Of two values there are four samples, so a quarter of the means is at either end.
    interval = mean_interval([[1.0, 2.0]])
    assert (interval.low, interval.high) == (1.0, 2.0)
