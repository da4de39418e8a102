"""Measures of levels and joins."""

import numpy as np
import pytest

from tests.support.sounds import FRAME, RATE, tone


def test_level_of_a_sine():
    from listening.levels import level_db

    # RMS of amplitude 0.5 is 0.5 / sqrt 2.
    assert level_db(tone(1000, 1, 0.5)) == pytest.approx(-9.0309, abs=1e-3)
    assert level_db(np.zeros(100)) == -140


def test_note_levels_are_measured_from_onset_to_offset():
    from listening.levels import note_levels_db
    from listening.songs import make_notes

    audio = np.full(2 * RATE, 9.0)
    audio[RATE // 4 : RATE // 2] = 0.1
    audio[RATE : 3 * RATE // 2] = 0.01
    levels = note_levels_db(audio, make_notes([0.25, 1.0], [0.25, 0.5], [60, 61]))
    np.testing.assert_allclose(levels, [-20, -40], atol=1e-6)


def test_evenness_of_notes():
    from listening.levels import evenness

    reference = np.linspace(-40, -20, 11)
    apart = np.array([0.0, 0, 0, 1, 2, 3, 4, -1, -2, -21, -30])
    found = evenness(reference + 3 + apart, reference)
    assert found.offset_db == pytest.approx(3)
    assert found.median_db == pytest.approx(2)
    assert found.high_db == pytest.approx((21 + 30) / 2)  # rank 9.5 of 0 to 10
    assert found.spread_db == pytest.approx(apart.std())
    assert found.silent == 2
    assert evenness(reference - apart, reference).silent == 0  # too loud is not silent
    # If all notes are silent, they count as such, although they do not differ from each other.
    assert evenness(np.full(11, -140.0), np.full(11, -30.0)).silent == 11


def test_changes_at_joins():
    from listening.joins import join_ratio

    def song(frames, at_joins):
        changes = np.ones(frames - 1)
        changes[3::4] = at_joins  # the change that leads to frame 4 is number 3
        return np.concatenate([[0], np.cumsum(changes)])[:, np.newaxis] * np.ones(5)

    assert join_ratio([song(13, 3.0)], 4) == pytest.approx(3)
    # Joins of all songs are pooled: three of size 3 and one of size 7.
    assert join_ratio([song(13, 3.0), song(6, 7.0)], 4) == pytest.approx(4)
    assert join_ratio([-song(9, 1.0)], 4) == pytest.approx(1)
    assert np.isnan(join_ratio([song(4, 1.0)], 4))


def test_level_jumps_have_the_right_sign_and_place():
    from listening.joins import level_jumps_db

    segment = 64 * FRAME
    # Whole periods in a tenth of a second, so that levels are exact.
    audio = tone(400, 5 * segment / RATE, 0.1)
    audio[2 * segment :] *= 2
    audio[3 * segment :] /= 4
    jumps = level_jumps_db(audio, 64, 0, 100)
    np.testing.assert_allclose(jumps, [0, 6.0206, -12.0412, 0], atol=1e-3)
    seconds = segment / RATE
    jumps = level_jumps_db(audio, 64, 1.5 * seconds, 3.05 * seconds)
    np.testing.assert_allclose(jumps, [6.0206], atol=1e-3)


def test_change_between_frames():
    from listening.levels import frame_change

    # The first bin changes by 2, 2 and 1, the second by 1: what is below -8 does not count.
    rows = np.array([[0.0, -9.0], [2.0, -20.0], [0.0, -8.5], [-1.0, -7.0]], np.float32)
    assert frame_change(rows) == pytest.approx((2 + 2 + 1 + 0 + 0 + 1) / 6)
