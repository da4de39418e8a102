"""Score of a song, with the scores of its minutes."""

from typing import NamedTuple

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.notes import Notes

MINUTE_SECONDS = 60.0
MINUTE_SAMPLES = 60 * SAMPLE_RATE


class Score(NamedTuple):
    """Score of a song.

    Attributes:
        whole: score of the whole song; None if it has nothing to score, such as drums.
        minutes: scores of its minutes; the last minute may be shorter. None for a minute that has
            nothing to score.
    """

    whole: float | None
    minutes: list[float | None]


def count_minutes(num_samples: int) -> int:
    """Returns the number of minutes of 16 kHz audio; a shorter last minute counts as one."""
    return max(1, -(-num_samples // MINUTE_SAMPLES))


def split_minutes(values: np.ndarray, per_minute: int) -> list[np.ndarray]:
    """Splits values [n, ...] into minutes of `per_minute` values; the last may be shorter."""
    return np.split(values, range(per_minute, len(values), per_minute))


def mean_of_frames(values: np.ndarray, frames_per_minute: float) -> Score:
    """Returns the mean of a value per frame, over the song and over each minute.

    Args:
        values: [frames], at least one.
        frames_per_minute: need not be a whole number.
    """
    count = max(1, int(np.ceil(len(values) / frames_per_minute - 1e-6)))
    edges = np.round(np.arange(1, count) * frames_per_minute).astype(int)
    minutes = [float(part.mean()) if len(part) else None for part in np.split(values, edges)]
    return Score(float(values.mean()), minutes)


def sum_scores(scores: list[Score]) -> Score:
    """Returns the sum of several scores of one song, over the song and over each minute."""
    columns = zip(*(score.minutes for score in scores), strict=True)
    minutes = [None if None in column else sum(filter(None, column), 0.0) for column in columns]
    return Score(sum(score.whole or 0.0 for score in scores), minutes)


def notes_by_minute(notes: Notes, count: int) -> list[Notes]:
    """Returns the notes with onsets in each of the first `count` minutes."""
    minute = (notes.onset_seconds // MINUTE_SECONDS).astype(int)
    return [notes.select(minute == number) for number in range(count)]
