"""Songs on the device keep their audio, and examples are cut where their tokens start."""

import jax
import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.recipe.device_songs import Capacity, DeviceSongs, draw_examples, draw_windows
from spectrodiff.recipe.songs import RenderedSong

FRAMES, CONTEXT, TARGET = 64, 8, 16
CAPACITY = Capacity(
    songs=10, song_frames=FRAMES, lead_frames=CONTEXT, examples_per_song=4, buckets=(4, 8)
)


def song(number):
    """A song whose samples are 100 times its number plus the number of their frame."""
    frames = 100 * number + np.arange(FRAMES)
    starts = np.array([0, 5, 20, 48], np.int32)
    tokens = [np.full(length, 10 * number + length) for length in (3, 4, 5, 8)]
    return RenderedSong(np.repeat(frames, 320).astype(np.int16), starts, tokens)


@pytest.fixture(scope="module")
def songs():
    songs = DeviceSongs(CAPACITY)
    for number in range(1, 10):
        songs.add(song(number))
    assert songs.send()
    return songs


def test_songs_arrive_in_blocks(songs):
    assert songs.num_songs == 8
    assert not songs.full
    assert songs.num_examples == [16, 16]
    # The ninth waits for its block, like its examples.
    assert int(songs.examples(0).size) == 16
    assert set(np.asarray(songs.examples(0).song)[:16]) == set(range(8))


@pytest.mark.parametrize("bucket", [0, 1])
def test_examples_are_cut_at_their_start(songs, bucket):
    draw = jax.jit(draw_examples, static_argnums=(3, 4, 5))
    batch = draw(songs.audio(), songs.examples(bucket), jax.random.key(0), 64, CONTEXT, TARGET)
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


def test_windows_start_at_any_sample(songs):
    batch = jax.jit(draw_windows, static_argnums=(2, 3))(
        songs.audio(), jax.random.key(1), 256, TARGET
    )
    audio = np.asarray(batch["audio"])
    assert audio.shape == (256, (TARGET + 16) * 320)
    steps = [np.flatnonzero(np.diff(row)) for row in audio]
    assert len({int(step[0]) % 320 for step in steps if len(step)}) > 50


def test_the_last_songs_arrive_without_a_full_block():
    songs = DeviceSongs(CAPACITY)
    for number in range(1, 11):
        songs.add(song(number))
    assert songs.full
    assert songs.send(everything=True)
    assert songs.num_songs == 10
    np.testing.assert_array_equal(
        songs.audio().samples[9, CONTEXT * 320 :: 320][:3], [1000, 1001, 1002]
    )
    assert not songs.send(everything=True)


def test_more_samples_than_32_bit_indices_reach_are_refused():
    with pytest.raises(ConfigError, match="at most"):
        Capacity(10_000, song_frames=2048, lead_frames=128, examples_per_song=1, buckets=(8,))
