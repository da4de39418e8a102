"""Songs side by side: the context of a segment, and which segments are generated together."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.synthesis.songs import generate_songs, schedule
from spectrodiff.synthesis.tuning import CPU
from tests.support.reference import TINY_CONTEXT

FRAMES = 16


class CountingSegments:
    """Generates frames that count up, starting with the number in the first token."""

    steps, overlap = 1, 0
    tuning = CPU

    def __init__(self, context_frames, num_devices):
        self.num_devices = num_devices
        self.config = dataclasses.replace(TINY_CONTEXT, context_frames=context_frames)
        self.seen = {}  # context and mask by first token

    def __call__(self, batch, on_steps=None):
        del on_steps
        for row, tokens in enumerate(batch.tokens):
            # Rows that pad the batch have no tokens.
            if tokens[0]:
                assert int(tokens[0]) not in self.seen
                self.seen[int(tokens[0])] = np.asarray(batch.context[row]), batch.context_mask[row]
        values = batch.tokens[:, :1] + np.arange(FRAMES) / FRAMES
        return jnp.asarray(np.tile(values[..., None], 128), jnp.float32)


@pytest.mark.parametrize("context_frames", [0, 5, 16, 24, 32, 40])
@pytest.mark.parametrize(("devices", "rows"), [(1, None), (3, None), (1, 1), (1, 2)])
def test_context_is_the_end_of_all_previous_segments(context_frames, devices, rows):
    """Three songs of 2, 5 and 3 segments, whose first tokens are consecutive numbers."""
    songs = [np.array([[first + n, 0] for n in range(count)], np.int32)
             for first, count in ((10, 2), (20, 5), (30, 3))]  # fmt: skip
    model = CountingSegments(context_frames, devices)
    model.tuning = dataclasses.replace(CPU, rows=rows)
    segments = list(generate_songs(model, songs, seed=0))
    assert sorted((segment.song, segment.number) for segment in segments) == [
        (song, number) for song, count in enumerate((2, 5, 3)) for number in range(count)
    ]
    for song in songs:
        # A segment with the first token n has the frames n, n + 1/16, ..., n + 15/16.
        whole = np.arange(len(song) * FRAMES) / FRAMES + song[0, 0]
        for number, tokens in enumerate(song):
            before = whole[: number * FRAMES]
            wanted = before[len(before) - min(len(before), context_frames) :]
            context, mask = model.seen[int(tokens[0])]
            assert context.shape == (context_frames, 128)
            np.testing.assert_array_equal(context[: len(wanted)], np.tile(wanted[:, None], 128))
            np.testing.assert_array_equal(context[len(wanted) :], 0.0)
            np.testing.assert_array_equal(mask, np.arange(context_frames) < len(wanted))


def test_a_schedule_by_hand():
    """The song with fewest segments left, the first of equals, with the one most like it."""
    widths = [[1, 1, 9, 9], [9, 9, 1], [2, 9]]
    assert list(schedule(widths, rows=2)) == [
        [(2, 0), (0, 0)],  # 2 and 1, not 9
        [(2, 1), (1, 0)],  # 9 and 9, not 1; song 2 ends
        [(1, 1), (0, 1)],  # 2 and 3 left
        [(1, 2), (0, 2)],
        [(0, 3)],
    ]
    # Of equally distant ones that with more left.
    assert next(schedule([[5], [4, 1], [6, 1, 1]], rows=2)) == [(0, 0), (2, 0)]
    # One at a time: one song after another.
    songs = [song for ((song, _),) in schedule(widths, rows=1)]
    assert songs == [2, 2, 1, 1, 1, 0, 0, 0, 0]
    assert list(schedule(widths)) == [
        [(2, 0), (0, 0), (1, 0)],
        [(2, 1), (1, 1), (0, 1)],
        [(1, 2), (0, 2)],
        [(0, 3)],
    ]


@pytest.mark.parametrize("rows", [None, 1, 2, 3, 4, 5, 8])
def test_schedules_serve_each_segment_once_and_waste_no_rows(rows):
    rng = np.random.default_rng(0)
    for songs in (1, 2, 3, 7, 8):
        widths = [rng.choice([64, 128, 256], rng.integers(1, 12)).tolist() for _ in range(songs)]
        done = [0] * songs
        for batch in schedule(widths, rows):
            active = sum(count < len(own) for count, own in zip(done, widths, strict=True))
            # The largest power of two up to both.
            sizes = [n for n in (1, 2, 4, 8) if n <= min(rows or active, active)]
            assert len(batch) == (active if rows is None else sizes[-1])
            assert len({song for song, _ in batch}) == len(batch)
            for song, number in batch:
                assert number == done[song]
                done[song] += 1
        assert done == [len(own) for own in widths]


def test_schedules_pad_less_than_songs_in_step():
    """Songs whose loud parts come at different times: 8 of 9 segments are short."""
    widths = [[64] * start + [512] + [64] * (8 - start) for start in range(8)]

    def computed(rows):
        return sum(
            len(batch) * max(widths[song][number] for song, number in batch)
            for batch in schedule(widths, rows)
        )

    needed = sum(map(sum, widths))
    assert computed(None) == 8 * (8 * 512 + 64)  # in step: some song is wide in all but one batch
    assert computed(2) < 1.5 * needed
