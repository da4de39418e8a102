"""Held-out examples are cut where their notes start, and spread over all songs."""

import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.recipe.held_out import EXAMPLES, held_out_examples
from spectrodiff.recipe.songs import RenderedSong
from spectrodiff.training.tasks.invert import Window

SIZES = Window(target_frames=8, context_frames=4)


def song(number, starts):
    frames = 100 * number + np.arange(40)
    tokens = [np.full(3, 10 * number + place) for place, _ in enumerate(starts)]
    return RenderedSong(np.repeat(frames, 320).astype(np.int16), np.array(starts), tokens)


def test_examples_start_with_their_context():
    batch = held_out_examples([song(1, [0, 2, 30]), song(2, [7])], SIZES, 6)
    assert batch["tokens"].shape == (EXAMPLES, 6)
    seen = set()
    for row in range(EXAMPLES):
        token = int(batch["tokens"][row, 0])
        start = {10: 0, 11: 2, 12: 30, 20: 7}[token]
        seen.add(token)
        frames = np.arange(start - 4, start + 8 + 16)
        expected = np.where((frames >= 0) & (frames < 40), 100 * (token // 10) + frames, 0)
        np.testing.assert_array_equal(batch["audio"][row], np.repeat(expected, 320))
        assert int(batch["context_frames"][row]) == min(start, 4)
        assert not np.asarray(batch["tokens"][row, 3:]).any()
    assert seen == {10, 11, 12, 20}


def test_songs_without_examples_are_refused():
    with pytest.raises(CorpusError, match="examples of up to 6 tokens, got none"):
        held_out_examples([song(1, [])], SIZES, 6)
