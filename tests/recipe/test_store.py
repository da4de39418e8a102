"""The store holds the rendered audio, and cuts examples where their tokens begin."""

import jax
import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.recipe.pieces import Piece
from spectrodiff.recipe.store import Shape, Store, draw_examples, draw_windows

FRAMES, CONTEXT, TARGET, CUTS = 64, 8, 16, 4
SHAPE = Shape(pieces=10, piece_frames=FRAMES, lead_frames=CONTEXT, cuts=CUTS, buckets=(4, 8))


def piece(number):
    """Every frame of the audio says which piece and frame it is."""
    frames = 100 * number + np.arange(FRAMES)
    starts = np.array([0, 5, 20, 48], np.int32)
    tokens = [np.full(length, 10 * number + length) for length in (3, 4, 5, 8)]
    return Piece(np.repeat(frames, 320).astype(np.int16), starts, tokens)


@pytest.fixture(scope="module")
def store():
    store = Store(SHAPE)
    for number in range(1, 10):
        store.add(piece(number))
    assert store.send()
    return store


def test_pieces_arrive_in_blocks(store):
    assert store.num_pieces == 8
    assert not store.full
    assert store.num_examples == [16, 16]
    # The ninth waits for its block, and so do its examples.
    assert int(store.examples(0).size) == 16
    assert set(np.asarray(store.examples(0).piece)[:16]) == set(range(8))


@pytest.mark.parametrize("bucket", [0, 1])
def test_examples_are_cut_at_their_start(store, bucket):
    draw = jax.jit(draw_examples, static_argnums=(3, 4, 5))
    batch = draw(store.sound(), store.examples(bucket), jax.random.key(0), 64, CONTEXT, TARGET)
    audio, tokens = np.asarray(batch["audio"]), np.asarray(batch["tokens"])
    assert audio.shape == (64, (CONTEXT + TARGET + 16) * 320)
    seen = set()
    for row in range(64):
        length = int((tokens[row] > 0).sum())
        number, start = tokens[row, 0] // 10, {3: 0, 4: 5, 5: 20, 8: 48}[length]
        seen.add((number, start))
        frames = np.arange(start - CONTEXT, start + TARGET + 16)
        inside = (frames >= 0) & (frames < FRAMES)
        expected = np.where(inside, 100 * number + frames, 0)
        np.testing.assert_array_equal(
            audio[row].reshape(-1, 320), np.repeat(expected[:, None], 320, 1)
        )
        assert batch["context_frames"][row] == min(start, CONTEXT)
    assert len(seen) > 12  # of 16


def test_windows_begin_at_any_sample(store):
    batch = jax.jit(draw_windows, static_argnums=(2, 3))(
        store.sound(), jax.random.key(1), 256, TARGET
    )
    audio = np.asarray(batch["audio"])
    assert audio.shape == (256, (TARGET + 16) * 320)
    steps = [np.flatnonzero(np.diff(row)) for row in audio]
    assert len({int(step[0]) % 320 for step in steps if len(step)}) > 50


def test_the_last_pieces_come_without_a_full_block():
    store = Store(SHAPE)
    for number in range(1, 11):
        store.add(piece(number))
    assert store.full
    assert store.send(everything=True)
    assert store.num_pieces == 10
    np.testing.assert_array_equal(
        store.sound().audio[9, CONTEXT * 320 :: 320][:3], [1000, 1001, 1002]
    )
    assert not store.send(everything=True)


def test_more_than_indices_can_reach_is_refused():
    with pytest.raises(ConfigError, match="at most"):
        Shape(pieces=10_000, piece_frames=2048, lead_frames=128, cuts=1, buckets=(8,))
