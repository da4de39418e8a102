"""Changes at joins of spectrograms whose changes are known."""

import numpy as np
import pytest

from spectrodiff.evaluation.metrics.joins import join_ratio


def song(frames, at_joins):
    """Features that change by 1 everywhere, and by `at_joins` from frame 3 to 4, 7 to 8, ..."""
    changes = np.ones(frames - 1)
    changes[3::4] = at_joins
    return np.concatenate([[0], np.cumsum(changes)])[:, np.newaxis] * np.ones(5)


def test_ratio_of_changes():
    assert join_ratio(song(13, 3.0), 4).whole == pytest.approx(3)
    assert join_ratio(-song(9, 1.0), 4).whole == pytest.approx(1)
    # Segments of another length have their joins elsewhere.
    assert join_ratio(song(13, 3.0), 5).whole < 1
    assert join_ratio(song(4, 1.0), 4) == (None, [None])
    assert join_ratio(np.zeros((9, 5)), 4).whole is None


def test_minutes_have_their_own_joins():
    quiet = song(6001, 1.0)
    jumps = np.arange(6001) >= 3004  # one jump, in the second minute
    score = join_ratio(quiet + 9.0 * jumps[:, np.newaxis], 4)
    assert score.minutes[0] == pytest.approx(1)
    # 750 joins a minute, one of which changes by 10.
    assert score.minutes[1] == pytest.approx((749 + 10) / 750)
    assert score.whole == pytest.approx((1499 + 10) / 1500)
