"""Scores of a song, and of every minute of it."""

from typing import NamedTuple

import numpy as np

from spectrodiff.evaluation.scores import MINUTE_SAMPLES
from spectrodiff.music.notes import Notes

MINUTE_SECONDS = 60.0


class Score(NamedTuple):
    """One score of one song.

    Attributes:
        whole: of the song.
        minutes: of its minutes one by one, the last of which may be shorter; None where a minute
            holds nothing to score.
    """

    whole: float
    minutes: list[float | None]


def count_minutes(num_samples: int) -> int:
    """How many minutes audio at 16 kHz has, the last of which may be shorter."""
    return max(1, -(-num_samples // MINUTE_SAMPLES))


def mean_of_frames(values: np.ndarray, frames_per_minute: float) -> Score:
    """The mean of a value per frame, of all and by minutes.

    Args:
        values: [frames], at least one.
        frames_per_minute: need not be a whole number.
    """
    count = max(1, int(np.ceil(len(values) / frames_per_minute - 1e-6)))
    edges = np.round(np.arange(1, count) * frames_per_minute).astype(int)
    minutes = [float(part.mean()) if len(part) else None for part in np.split(values, edges)]
    return Score(float(values.mean()), minutes)


def sum_scores(scores: list[Score]) -> Score:
    """The sum of scores of the same song."""
    columns = zip(*(score.minutes for score in scores), strict=True)
    minutes = [None if None in column else sum(filter(None, column), 0.0) for column in columns]
    return Score(sum(score.whole for score in scores), minutes)


def notes_by_minute(notes: Notes, count: int) -> list[Notes]:
    """The notes that begin in each of the first minutes."""
    minute = (notes.onset_seconds // MINUTE_SECONDS).astype(int)
    return [notes.select(minute == number) for number in range(count)]
