"""Time of tokenization in songs of different lengths: per song, and per segment.

    python benchmarks/tokenizer.py

prints the best time of several runs for songs of 10,000, 20,000 and 40,000 notes of one density,
and the ratio of each row to the first. The time per song should be proportional to the number of
notes, and that of a random segment constant.
"""

import random

import numpy as np
from timing import best_seconds

from spectrodiff.music.events import index_notes
from spectrodiff.music.notes import Notes
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.music.vocabulary import RELEASED_VOCABULARY

NOTE_COUNTS = (10_000, 20_000, 40_000)
NOTES_PER_SECOND = 40.0
RUNS = 7
RANDOM_SEGMENTS = 200


def make_song(num_notes: int) -> Notes:
    rng = np.random.default_rng(0)
    onset_seconds = rng.uniform(0, num_notes / NOTES_PER_SECOND, num_notes)
    return Notes(
        onset_seconds=onset_seconds,
        offset_seconds=onset_seconds + rng.exponential(0.5, num_notes),
        pitch=rng.integers(21, 109, num_notes),
        velocity=rng.integers(1, 128, num_notes),
        program=rng.choice([0, 24, 32, 40, 56], num_notes),
        is_drum=rng.random(num_notes) < 0.2,
    )


def measure(num_notes: int) -> tuple[float, float, float]:
    """Returns the seconds for the index, for the song with its index, and for one segment."""
    notes = make_song(num_notes)
    events = index_notes(notes, RELEASED_VOCABULARY)
    starts = random.Random(0).choices(range(events.num_frames), k=RANDOM_SEGMENTS)

    def random_segments() -> None:
        for start in starts:
            events.segment(start)

    return (
        best_seconds(lambda: index_notes(notes, RELEASED_VOCABULARY), RUNS),
        best_seconds(lambda: tokenize_song(notes), RUNS),
        best_seconds(random_segments, RUNS) / RANDOM_SEGMENTS,
    )


def main() -> None:
    rows = [measure(num_notes) for num_notes in NOTE_COUNTS]
    print("|  notes | index ms |    x | whole song ms |    x | random segment ms |    x |")
    print("|-------:|---------:|-----:|--------------:|-----:|------------------:|-----:|")
    for num_notes, row in zip(NOTE_COUNTS, rows, strict=True):
        index, song, segment = (1000 * seconds for seconds in row)
        ratios = [seconds / first for seconds, first in zip(row, rows[0], strict=True)]
        print(
            f"| {num_notes:6d} | {index:8.2f} | {ratios[0]:4.2f} | {song:13.2f} | {ratios[1]:4.2f} "
            f"| {segment:17.4f} | {ratios[2]:4.2f} |"
        )


if __name__ == "__main__":
    main()
