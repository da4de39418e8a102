"""Steering of notes, against rows worked out by hand."""

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.music.steering import Course, Steering
from tests.support.notation import note_rows, note_table

# onset, offset, pitch, velocity, program, is_drum
SONG = note_table(
    [
        (0.0, 1.0, 60, 80, 0, False),
        (0.5, 3.0, 64, 80, 48, False),  # held over 2 s
        (2.0, 2.5, 36, 90, 0, True),
        (2.5, 4.0, 67, 80, 48, False),
        (4.0, 5.0, 125, 80, 0, False),
    ],
    total_seconds=6.0,
)


def test_no_steering_changes_nothing():
    notes, rows = Course().apply(SONG)
    assert note_rows(notes) == note_rows(SONG)
    assert notes.total_seconds == 6.0
    np.testing.assert_array_equal(rows, range(5))


def test_steering_from_a_moment_on():
    """At 2 s twice as fast, three semitones up, strings become a flute, which the piano is not."""
    course = Course().steered(2.0, Steering(transpose=3, tempo=2.0, programs={48: 73}))
    notes, rows = course.apply(SONG)
    assert note_rows(notes) == [
        (0.0, 1.0, 60, 80, 0, False),
        (0.5, 2.5, 64, 80, 48, False),  # begun before: its own pitch; 1 s of it at double speed
        (2.0, 2.25, 36, 90, 0, True),  # drums are not transposed
        (2.25, 3.0, 70, 80, 73, False),
    ]  # the last note would be at pitch 128
    np.testing.assert_array_equal(rows, [0, 1, 2, 3])
    assert notes.total_seconds == 4.0


def test_steering_twice():
    """Half speed from 1 s of the sound to 3 s, where 2 s of the score are over; then as written."""
    course = Course().steered(1.0, Steering(tempo=0.5)).steered(3.0, Steering())
    assert [course.score_seconds(moment) for moment in (0.5, 1.0, 2.0, 3.0, 4.5)] == [
        0.5, 1.0, 1.5, 2.0, 3.5,
    ]  # fmt: skip
    moments = np.array([0.5, 1.0, 1.5, 2.0, 3.5])
    np.testing.assert_array_equal(course.sound_seconds(moments), [0.5, 1.0, 2.0, 3.0, 4.5])


def test_steering_again_earlier_replaces_what_follows():
    course = Course().steered(1.0, Steering(tempo=0.5)).steered(3.0, Steering(transpose=1))
    again = course.steered(1.0, Steering(tempo=2.0))
    assert again.last == Steering(tempo=2.0)
    assert again.score_seconds(2.0) == 3.0
    assert course.score_seconds(2.0) == 1.5  # as it was


def test_muted_parts():
    notes, rows = Course(Steering(muted=frozenset({48, "drums"}))).apply(SONG)
    np.testing.assert_array_equal(rows, [0, 4])
    assert set(notes.program) == {0}
    # A part is muted by the program that the song has for it, whatever sounds in its place.
    notes, rows = Course(Steering(programs={48: 73}, muted=frozenset({48}))).apply(SONG)
    np.testing.assert_array_equal(rows, [0, 2, 4])


def test_numbers_of_numpy_and_equality():
    ours = Steering(np.int64(3), np.float32(0.5), {np.int32(1): np.int64(2)}, [np.int8(4), "drums"])
    wanted = Steering(3, 0.5, {1: 2}, frozenset({4, "drums"}))
    assert ours == wanted
    assert hash(ours) == hash(wanted)
    assert type(ours.transpose) is int


def test_forgotten_stretches():
    course = Course().steered(1.0, Steering(tempo=2.0)).steered(2.0, Steering(tempo=4.0))
    shorter = course.without_past(2.5)
    assert [shorter.score_seconds(moment) for moment in (1.5, 2.5)] == [2.0, 5.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transpose": 1.5}, "transpose: expected whole semitones in -48..48, got 1.5"),
        ({"transpose": -49}, "got -49"),
        ({"tempo": 0.0}, "tempo: expected a factor in 0.25..4, got 0.0"),
        ({"tempo": float("nan")}, "got nan"),
        ({"tempo": "fast"}, "got 'fast'"),
        (
            {"programs": {0: 128}},
            "programs: expected a mapping of programs in 0..127, got {0: 128}",
        ),
        ({"programs": [(1, 2)]}, "got [(1, 2)]"),
        ({"muted": [[1]]}, "got [[1]]"),
        ({"muted": "drums"}, "got 'drums'"),
        ({"muted": frozenset({"drum"})}, "muted: expected programs in 0..127, or 'drums'"),
    ],
)
def test_impossible_steering(changes, message):
    with pytest.raises(ConfigError) as error:
        Steering(**changes)
    assert message in str(error.value)
