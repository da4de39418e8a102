"""Plans of batches: which examples share one, and how much of it is padding."""

import numpy as np
import pytest

from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import FULL
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.loading.examples import Cutter, ExampleFormat
from spectrodiff.data.loading.lengths import BLOCK_FRAMES, most_tokens
from spectrodiff.data.loading.plan import Plan, padded_lengths
from spectrodiff.data.pieces import MemoryPieces, PieceLength
from spectrodiff.data.recordings import Recording
from tests.support.corpora import SMALL, corpus, recording


@pytest.fixture(scope="module")
def composed() -> MemoryPieces:
    songs = [compose(0, FULL, index) for index in range(24)]
    return MemoryPieces(
        [
            Recording(str(n), np.zeros(int(song.total_seconds * SAMPLE_RATE), np.int16), song)
            for n, song in enumerate(songs)
        ]
    )


def test_most_tokens_are_the_largest_of_each_block(composed):
    table = most_tokens(composed, ExampleFormat())
    for number in (0, 7, 19):
        piece = composed[number]
        cutter = Cutter(piece, ExampleFormat())
        last = max(piece.num_frames - 1, 1)
        for block in (0, 5, (last - 1) // BLOCK_FRAMES):
            starts = range(BLOCK_FRAMES * block, min(BLOCK_FRAMES * (block + 1), last))
            expected = max(cutter.tokens(start).num_tokens for start in starts)
            assert table[number, block] == expected


@pytest.mark.parametrize("batch_size", [16, 256])
def test_little_of_a_batch_is_padding(composed, batch_size):
    plan = Plan([composed], ExampleFormat(), batch_size=batch_size, seed=0)
    cutters = [Cutter(composed[number], ExampleFormat()) for number in range(len(composed))]
    tokens = padded = 0
    lengths = set()
    window = max(128, 4096 // batch_size)
    for batch in map(plan.__getitem__, range(window, 2 * window)):
        rows = list(zip(batch.piece, batch.target_frame, strict=True))[::8]
        counts = [min(cutters[piece].tokens(int(start)).num_tokens, 2048) for piece, start in rows]
        assert max(counts) <= batch.length
        tokens, padded = tokens + sum(counts), padded + len(counts) * batch.length
        lengths.add(batch.length)
    assert len(lengths) <= 6
    # Without grouping, the longest of a batch of 16 would leave 80 % of it to padding.
    assert 1 - tokens / padded < 0.36


def test_lengths_leave_the_least_padding():
    rng = np.random.default_rng(0)
    histogram = rng.random(41) ** 4
    histogram[0] = 0.0

    def padded(lengths: tuple[int, ...]) -> float:
        rounded = np.array(lengths)[np.searchsorted(lengths, np.arange(41))]
        return float(np.sum(histogram * rounded))

    unit = 4
    every = range(unit, 40, unit)
    best = min(padded((a, b, 40)) for a in every for b in every if a < b)
    chosen = padded_lengths(histogram, count=3, unit=unit)
    assert padded(tuple(chosen)) == pytest.approx(best)
    assert padded_lengths(histogram, count=99, unit=8).tolist() == [8, 16, 24, 32, 40]
    assert padded_lengths(np.ones(3), count=6).tolist() == [2]


def test_starts_are_uniform_within_pieces():
    source = MemoryPieces([recording(79)], PieceLength(40, 20))
    plan = Plan([source], SMALL, batch_size=16, seed=0)
    batches = [plan[number] for number in range(2 * 4096 // 16)]
    for piece, starts in ((0, 39), (1, 38)):
        drawn = np.concatenate([b.target_frame[b.piece == piece] for b in batches])
        counts = np.bincount(drawn, minlength=starts)
        assert len(counts) == starts
        assert np.all(np.abs(counts - len(drawn) / starts) < 5 * np.sqrt(len(drawn) / starts))


def test_share_of_partial_context_is_that_of_pieces():
    # Of 1999 starts, one has no context and 255 have a part of it; in a song of four minutes cut
    # as a whole, it would be 255 of 12,000.
    song = recording(12_000)
    example_format = ExampleFormat()
    plan = Plan([MemoryPieces([song])], example_format, batch_size=64, seed=0)
    start = np.concatenate([plan[number].target_frame for number in range(256)])
    assert np.mean(start < 256) == pytest.approx(256 / 1999, abs=0.01)


def test_segments_longer_than_what_follows_a_piece():
    source = MemoryPieces(corpus(3), PieceLength(20, 19))
    with pytest.raises(CorpusError, match=r"the 20 frames that follow.*--following_frames 20.*19"):
        Plan([source], SMALL, batch_size=2, seed=0)
