"""The batch whose steps are timed to estimate the time of songs."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.estimate import expected_seconds
from spectrodiff.synthesis.tuning import CPU
from tests.support.inverters import LoudnessInverter
from tests.support.reference import TINY_CONTEXT


class Tried:
    """A model that keeps the batch whose steps are tried, two per iteration."""

    config, steps, num_devices, overlap = TINY_CONTEXT, 7, 1, 0

    def __init__(self, rows):
        self.tuning, self.batch = dataclasses.replace(CPU, rows=rows), None

    def try_steps(self, batch):
        self.batch = batch
        while True:
            yield 2


def song(counts):
    """A song whose segments have these numbers of tokens, of at most 600."""
    tokens = (np.arange(600) < np.array(counts)[:, None]).astype(np.int32)
    return SongTokens(tokens, 10, 3200, ())


@pytest.mark.parametrize(
    ("songs", "batch_size", "rows", "batches", "shape"),
    [
        # Padded to 64, 256, 64, 64, 512: the mean is 192, which is nearest to 256.
        (1, 1, None, 5, (1, 256)),
        (2, 2, None, 5, (2, 256)),
        (2, 2, 1, 10, (1, 256)),
        (3, 3, None, 5, (4, 256)),  # rows are filled to a power of two
        # Two of three songs at a time: the mean is 448, which is nearest to two rows of 256.
        (3, 3, 2, 8, (2, 256)),
    ],
)
def test_a_batch_of_about_the_mean_size_is_timed(songs, batch_size, rows, batches, shape):
    model = Tried(rows)
    # Trials take 3 and 2 s, for two steps each; inverting takes 1 s.
    ticks = iter([10.0, 13.0, 15.0, 20.0, 21.0])
    rendered = [song([9, 250, 30, 64, 480])] * songs
    expected = expected_seconds(model, LoudnessInverter(), rendered, batch_size, ticks.__next__)
    assert model.batch.tokens.shape == shape
    assert set(np.count_nonzero(model.batch.tokens, axis=1)) - {0} == {250}
    assert expected.sampling == batches * 7 / 2 * 2
