"""The benchmark of many songs counts what is computed."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.tuning import CPU
from tests.support.reference import TINY_CONTEXT


def song(*counts):
    tokens = np.array([[7] * count + [0] * (4 - count) for count in counts], np.int32)
    return SongTokens(tokens, 16 * len(counts), 5120 * len(counts), ())


@pytest.mark.parametrize(
    ("rows", "computed", "programs"),
    [
        # Songs in step: 4 rows (one of them empty) of 4 tokens, and 2 of 4.
        (None, 4 * 4 + 2 * 4, 2),
        # Two songs at a time: 2 rows of 1 token, 2 of 4, and 1 of 1.
        (2, 2 * 1 + 2 * 4 + 1 * 1, 3),
    ],
)
def test_tokens_and_programs(benchmark, rows, computed, programs):
    many_songs = benchmark("many_songs")
    tuning = dataclasses.replace(CPU, note_buckets=(1, 2, 4), rows=rows)
    model = SimpleNamespace(config=TINY_CONTEXT, num_devices=1, tuning=tuning)
    synth = SimpleNamespace(engine=SimpleNamespace(segments=lambda _: model), sampling=None)
    songs = [song(1, 4), song(4, 1), song(1)]
    share, shapes = many_songs.counts(many_songs.Side("a side", synth), songs, 8)
    assert share == pytest.approx(computed / 11)
    assert shapes == programs
