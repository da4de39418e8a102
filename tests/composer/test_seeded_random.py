import numpy as np
import pytest

from spectrodiff.composer.seeded_random import SeededRandom


def test_numbers_are_the_uniform_doubles_of_pcg64():
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence([3, 4]))).random(3)
    rng = SeededRandom(3, 4)
    assert [rng.uniform(0, 1), rng.uniform(2, 4), rng.log_uniform(1, 10)] == pytest.approx(
        [expected[0], 2 + 2 * expected[1], 10 ** expected[2]], rel=1e-12
    )


def test_distributions_are_fair():
    rng = SeededRandom(0)
    counts = np.bincount([rng.integer(1, 6) for _ in range(6000)])
    assert counts[0] == 0
    assert len(counts) == 7
    assert counts[1:] == pytest.approx(1000, abs=120)  # four standard deviations
    picks = [rng.choice("ab", (3, 1)) for _ in range(4000)]
    assert picks.count("a") == pytest.approx(3000, abs=110)
    assert sum(rng.chance(0.2) for _ in range(4000)) == pytest.approx(800, abs=101)
    firsts = [rng.shuffle("abcd")[0] for _ in range(4000)]
    assert {mark: firsts.count(mark) for mark in "abcd"} == pytest.approx(
        dict.fromkeys("abcd", 1000), abs=110
    )
