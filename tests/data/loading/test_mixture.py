"""Mixture of corpora: shares, order and rounds of draws."""

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.loading.mixture import Mixture, mixture_weights


def test_shares_of_a_mixture():
    # 100^0.3 = 3.981, 10^0.3 = 1.995, 1: the sum of all cancels.
    expected = np.array([3.981, 1.995, 1.0]) / 6.976
    np.testing.assert_allclose(mixture_weights([100, 10, 1]), expected, atol=1e-4)
    mixture = Mixture([100, 10, 1], window=1000, seed=0)
    for number in range(4):
        shares = np.bincount(mixture.draws(number).corpus) / 1000
        np.testing.assert_allclose(shares, expected, atol=0.002)


def test_shares_are_exact_in_the_long_run():
    mixture = Mixture([7, 5, 3], window=16, seed=1, weights=[0.5, 0.47, 0.03])
    windows = [np.bincount(mixture.draws(n).corpus, minlength=3) for n in range(500)]
    assert all(np.sum(counts) == 16 for counts in windows)
    np.testing.assert_allclose(np.sum(windows, axis=0), [4000, 3760, 240], atol=2)
    # A rare corpus comes now and then: 0.48 draws per window.
    assert {int(counts[2]) for counts in windows} == {0, 1}


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_every_process_sees_every_corpus(processes):
    drawn = np.concatenate(
        [Mixture([50, 50], window=64, seed=0).draws(number).corpus for number in range(40)]
    )
    for process in range(processes):
        rows = drawn[process::processes]
        # Binomial; more than four deviations from one half would be a pattern.
        assert abs(rows.mean() - 0.5) < 2 / np.sqrt(len(rows))


def test_pieces_come_in_shuffled_rounds():
    mixture = Mixture([12, 5], window=17, seed=5)
    draws = [mixture.draws(number) for number in range(30)]
    drawn = [int(piece) for draw in draws for piece in np.sort(draw.piece[draw.corpus == 0])]
    counts = np.bincount(drawn, minlength=12)
    # Whole rounds, and the beginning of one.
    assert counts.max() - counts.min() <= 1
    # A corpus with few pieces goes through several rounds in a window.
    alone = Mixture([3], window=9, seed=0).draws(7)
    assert sorted(alone.piece.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    orders = {tuple(Mixture([12], window=12, seed=5).draws(n).piece.tolist()) for n in range(9)}
    assert len(orders) == 9


def test_any_window_is_reached_at_once():
    settings = {"window": 40, "seed": 3, "weights": [2.0, 1.0]}
    far = Mixture([9, 4], **settings).draws(10**9)
    again = Mixture([9, 4], **settings).draws(10**9)
    np.testing.assert_array_equal(far.piece, again.piece)
    other = Mixture([9, 4], **{**settings, "seed": 4}).draws(10**9)
    assert np.any(far.piece != other.piece)


def test_impossible_mixtures():
    with pytest.raises(CorpusError, match="recordings in every corpus, got none"):
        Mixture([3, 0], window=8, seed=0)
    with pytest.raises(ConfigError, match="seed: expected a whole number >= 0, got -1"):
        Mixture([3], window=8, seed=-1)
    with pytest.raises(ConfigError, match=r"weights: expected 2 positive numbers.*got \[1.0\]"):
        Mixture([3, 3], window=8, seed=0, weights=[1.0])
    with pytest.raises(ConfigError, match="weights: expected 2 positive numbers"):
        Mixture([3, 3], window=8, seed=0, weights=[1.0, 0.0])
