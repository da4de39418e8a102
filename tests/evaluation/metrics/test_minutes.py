import numpy as np
import pytest

from spectrodiff.evaluation.metrics.minutes import (
    Score,
    count_minutes,
    mean_of_frames,
    notes_by_minute,
    sum_scores,
)
from tests.support.notation import note_table


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.1, 1), (60, 1), (60.001, 2), (119.9, 2), (600, 10)]
)
def test_count(seconds, count):
    assert count_minutes(round(seconds * 16_000)) == count


def test_a_whole_number_of_frames_per_minute():
    # Frames 0..3 are the first minute, 4..7 the second, 8 and 9 the incomplete third.
    score = mean_of_frames(np.arange(10.0), 4)
    assert score == Score(4.5, [1.5, 5.5, 8.5])
    assert mean_of_frames(np.arange(8.0), 4) == Score(3.5, [1.5, 5.5])
    assert mean_of_frames(np.arange(3.0), 4) == Score(1.0, [1.0])


def test_frames_that_do_not_divide():
    # 2.5 frames per minute: edges at 2.5 and 5, the first rounded to the even 2.
    assert mean_of_frames(np.arange(6.0), 2.5).minutes == [0.5, 3.0, 5.0]
    # With fewer than a frame per minute some minutes have none.
    assert mean_of_frames(np.array([1.0, 2.0]), 0.5).minutes == [None, 1.0, 2.0, None]


def test_sums():
    scores = [Score(1.0, [0.5, None]), Score(2.0, [0.0, 3.0])]
    assert sum_scores(scores) == Score(3.0, [0.5, None])


def test_notes_belong_to_the_minute_they_begin_in():
    notes = note_table(
        [(0, 70, 60, 100, 0, False), (59.99, 60, 61, 100, 0, False), (60, 61, 62, 100, 0, False)]
    )
    first, second, third = notes_by_minute(notes, 3)
    assert first.pitch.tolist() == [60, 61]
    assert second.pitch.tolist() == [62]
    assert len(third) == 0
    # Notes after the end of the recording belong to no minute.
    assert [len(part) for part in notes_by_minute(notes, 1)] == [2]
