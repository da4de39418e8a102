"""The context of a segment is the end of all segments before it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.synthesis.songs import generate_songs
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
@pytest.mark.parametrize("devices", [1, 3])
def test_context_is_the_end_of_all_previous_segments(context_frames, devices):
    """Three songs of 2, 5 and 3 segments, whose first tokens are consecutive numbers."""
    songs = [np.array([[first + n, 0] for n in range(count)], np.int32)
             for first, count in ((10, 2), (20, 5), (30, 3))]  # fmt: skip
    model = CountingSegments(context_frames, devices)
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
