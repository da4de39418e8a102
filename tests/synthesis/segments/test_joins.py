"""Joins of segments: where a jump fades out, how, and where it stays."""

import numpy as np
import pytest

from spectrodiff.synthesis.segments.joins import Joins
from tests.support.notation import note_table

# Segments of 20 frames, 0.4 s; each has its own level in all bins.
SEGMENT = 20
WEIGHTS = np.array([15, 13, 11, 9, 7, 5, 3, 1]) / 16


def segment(level, frames=SEGMENT):
    return np.full((frames, 128), level, np.float32)


def song(levels, onsets, **settings):
    """Features, first bin, of a song whose notes begin at some frames and last for a second."""
    rows = [(frame / 50, frame / 50 + 1.0, 60, 90, 0, False) for frame in onsets]
    joins = Joins(overlap=16)
    parts = [joins.add(segment(level), note_table(rows), **settings) for level in levels]
    return np.concatenate(parts)[:, 0]


def test_a_jump_fades_out_over_eight_frames():
    levels = song([0.0, 1.6], [0])
    np.testing.assert_allclose(levels[:20], 0)
    np.testing.assert_allclose(levels[20:28], 1.6 - 1.6 * WEIGHTS, atol=1e-6)
    np.testing.assert_allclose(levels[28:], 1.6)


def test_each_bin_has_its_own_jump():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(-4, -1, (2, SEGMENT, 128)).astype(np.float32)
    joins, notes = Joins(overlap=16), note_table([(0.0, 9.0, 60, 90, 0, False)])
    np.testing.assert_array_equal(joins.add(first, notes), first)
    after = joins.add(second, notes)
    jump = second[0] - first[-1]
    np.testing.assert_allclose(after[0], first[-1] + jump / 16, atol=1e-5)
    np.testing.assert_allclose(after[:8], second[:8] - np.outer(WEIGHTS, jump), atol=1e-5)
    np.testing.assert_array_equal(after[8:], second[8:])


@pytest.mark.parametrize(
    ("onset", "faded"),
    [(17, 8), (18, 0), (19, 0), (20, 0), (21, 0), (22, 1), (25, 4), (28, 7), (29, 8), (40, 8)],
)
def test_a_note_ends_the_fading(onset, faded):
    """Its beginning is heard in the frame before it, and still two frames later."""
    levels = song([0.0, 1.6, 1.6], [0, onset])
    expected = np.full(SEGMENT, 1.6)
    expected[:faded] -= 1.6 * WEIGHTS[:faded]
    np.testing.assert_allclose(levels[20:40], expected, atol=1e-6)


def test_the_end_of_a_note_ends_the_fading():
    """The end of a drum does not; here both end after 25 frames."""
    for is_drum, faded in ((False, 4), (True, 8)):
        rows = [(0.0, 0.5, 60, 90, 0, is_drum), (0.0, 9.0, 50, 90, 0, False)]
        joins = Joins(overlap=16)
        joins.add(segment(0.0), note_table(rows))
        after = joins.add(segment(1.6), note_table(rows))[:, 0]
        expected = np.full(SEGMENT, 1.6)
        expected[:faded] -= 1.6 * WEIGHTS[:faded]
        np.testing.assert_allclose(after, expected, atol=1e-6)


def test_the_next_jump_is_to_what_was_heard():
    # The second segment is so short that its fading is cut off.
    joins, notes = Joins(overlap=16), note_table([(0.0, 9.0, 60, 90, 0, False)])
    joins.add(segment(0.0), notes)
    short = joins.add(segment(1.6, 2), notes)
    np.testing.assert_allclose(short[:, 0], [0.1, 0.3], atol=1e-6)
    after = joins.add(segment(1.6), notes)
    np.testing.assert_allclose(after[:8, 0], 1.6 - 1.3 * WEIGHTS, atol=1e-6)


def test_notes_of_another_origin():
    # A note at frame 25 of the song, which is frame 15 of its table.
    rows = note_table([(0.3, 9.0, 60, 90, 0, False)])
    joins = Joins(overlap=16)
    joins.add(segment(0.0), rows, origin_frame=10)
    after = joins.add(segment(1.6), rows, origin_frame=10)[:, 0]
    np.testing.assert_allclose(after[:5], [*(1.6 - 1.6 * WEIGHTS[:4]), 1.6], atol=1e-6)


def test_nothing_changes_without_fading_or_notes():
    notes = note_table([(0.0, 9.0, 60, 90, 0, False)])
    for overlap, known in ((0, notes), (16, None)):
        joins = Joins(overlap)
        joins.add(segment(0.0), known)
        np.testing.assert_array_equal(joins.add(segment(1.0), known), segment(1.0))


def test_what_is_given_is_not_changed():
    joins, given = Joins(overlap=16), segment(1.0)
    notes = note_table([(0.0, 9.0, 60, 90, 0, False)])
    joins.add(segment(0.0), notes)
    other = joins.copy()
    joins.add(given, notes)
    np.testing.assert_array_equal(given, segment(1.0))
    # A copy goes on from where it was made.
    np.testing.assert_allclose(other.add(given, notes)[0, 0], 1 / 16, atol=1e-6)


def test_features_stay_in_their_range():
    joins, notes = Joins(overlap=16), note_table([(0.0, 9.0, 60, 90, 0, False)])
    joins.add(segment(3.9), notes)
    rising = np.linspace(-11, 3.9, SEGMENT, dtype=np.float32)[:, None].repeat(128, axis=1)
    assert joins.add(rising, notes).max() <= 4.0
