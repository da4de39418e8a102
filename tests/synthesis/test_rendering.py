"""Songs are inverted while a thread generates those that follow."""

import contextlib
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.audio.features import unscale
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.rendering import render_songs, stream_song
from spectrodiff.synthesis.tuning import CPU
from tests.support.inverters import LoudnessInverter
from tests.support.patience import PATIENCE_SECONDS
from tests.support.reference import TINY_CONTEXT

ROOT = Path(__file__).parents[2]
FRAMES, STEPS = 16, 4


class Segments:
    """Generates frames that are all the first token divided by 100.

    `steps_of` returns the number of steps of a call; it can also wait or fail.
    """

    config, steps, num_devices, overlap, tuning = TINY_CONTEXT, STEPS, 1, 0, CPU

    def __init__(self, steps_of=lambda call: STEPS):
        self.calls, self.steps_taken, self._steps_of = 0, 0, steps_of

    def __call__(self, batch, on_steps=None):
        self.calls += 1
        for _ in range(self._steps_of(self.calls)):
            self.steps_taken += 1
            on_steps(1)
        values = batch.tokens[:, :1, None] / 100
        return jnp.asarray(np.broadcast_to(values, (len(values), FRAMES, 128)), jnp.float32)


def song(first, segments):
    """A song whose segments have one token each, numbered from `first`."""
    tokens = np.zeros((segments, 8), np.int32)
    tokens[:, 0] = first + np.arange(segments)
    frames = segments * FRAMES - 3  # the last segment is longer than the rest of the song
    return SongTokens(tokens, frames, frames * 320 - 100, ())


def render(model, songs, inverter=None, batch_size=1):
    inverter = inverter or LoudnessInverter()
    return render_songs(model, inverter, songs, seed=0, batch_size=batch_size, progress=False)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "spectrodiff-ahead"]


def test_songs_consist_of_their_segments():
    songs = [song(10, 2), song(20, 3), song(40, 1)]
    rendered = dict(render(Segments(), songs, batch_size=2))
    assert sorted(rendered) == [0, 1, 2]
    for number, tokens in enumerate(songs):
        levels = np.repeat(tokens.tokens[:, 0] / 100, FRAMES)[: tokens.num_frames]
        log_mel = np.asarray(unscale(np.tile(levels[:, None], 128).astype(np.float32)))
        np.testing.assert_allclose(rendered[number].log_mel, log_mel, rtol=1e-5)
        audio = LoudnessInverter()(log_mel)[: tokens.num_samples]
        np.testing.assert_allclose(rendered[number].audio, audio, rtol=1e-4, atol=1e-6)


def test_a_song_is_inverted_while_the_next_group_is_generated():
    """The inversion of the first song waits for the generation of the second, and it comes."""
    second = threading.Event()

    def steps_of(call):
        if call == 3:
            second.set()
        return STEPS

    class Waiting(LoudnessInverter):
        def __call__(self, log_mel):
            assert second.wait(PATIENCE_SECONDS)
            return super().__call__(log_mel)

    rendered = render(Segments(steps_of), [song(10, 2), song(20, 1)], Waiting())
    assert [number for number, _ in rendered] == [0, 1]


def test_a_window_is_inverted_while_the_rest_of_the_song_is_generated():
    """The last of 70 segments waits for the inversion of the 1,018 frames of the first window."""
    inverted = threading.Event()

    def steps_of(call):
        assert call < 70 or inverted.wait(PATIENCE_SECONDS)
        return STEPS

    class Telling(LoudnessInverter):
        def __call__(self, log_mel):
            inverted.set()
            return super().__call__(log_mel)

    tokens = song(10, 70)
    (rendered,) = render(Segments(steps_of), [tokens], Telling())
    levels = np.repeat(tokens.tokens[:, 0] / 100, FRAMES)[: tokens.num_frames]
    log_mel = np.asarray(unscale(np.tile(levels[:, None], 128).astype(np.float32)))
    np.testing.assert_allclose(rendered[1].log_mel, log_mel, rtol=1e-5)
    audio = LoudnessInverter()(log_mel)[: tokens.num_samples]
    np.testing.assert_allclose(rendered[1].audio, audio, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("segments", "calls"), [(64, 1), (65, 3), (1876, 31)])
def test_numbers_of_windows(segments, calls):
    """One of up to 1,024 frames, else of 1,018 new ones and one for the end; also after 10 min."""
    lengths = []

    class Counting(LoudnessInverter):
        def __call__(self, log_mel):
            lengths.append(len(log_mel))
            return super().__call__(log_mel)

    tokens = song(10, segments)
    (rendered,) = render(Segments(), [tokens], Counting())
    assert len(rendered[1].audio) == tokens.num_samples
    assert max(lengths) <= 1024
    assert len(lengths) == calls


def test_a_song_is_returned_as_soon_as_it_is_rendered():
    """The rest of the longer song is not generated before the shorter one is here."""
    here = threading.Event()

    def steps_of(call):
        assert call == 1 or here.wait(PATIENCE_SECONDS)
        return STEPS

    rendered = render(Segments(steps_of), [song(10, 3), song(20, 1)], batch_size=2)
    assert next(rendered)[0] == 1
    here.set()
    assert [number for number, _ in rendered] == [0]
    assert not threads()


@pytest.mark.parametrize("streamed", [False, True])
def test_closing_ends_the_thread_before_the_end_of_a_segment(streamed):
    """The second segment has so many steps that nobody would wait for all of them."""
    closing = threading.Event()

    def steps_of(call):
        assert call == 1 or closing.wait(PATIENCE_SECONDS)
        return STEPS if call == 1 else 1_000_000

    model, songs = Segments(steps_of), [song(10, 1), song(20, 1)]
    parts = render(model, songs)
    if streamed:
        parts = stream_song(model, LoudnessInverter(), song(10, 40), seed=0, progress=False)
    next(parts)
    closing.set()
    parts.close()
    assert not threads()
    assert model.calls <= 2
    assert model.steps_taken < 1_000_000


def test_errors_come_after_the_songs_before_them():
    def steps_of(call):
        if call == 3:
            raise MemoryError("device")
        return STEPS

    rendered = render(Segments(steps_of), [song(10, 2), song(20, 1)])
    assert next(rendered)[0] == 0
    with pytest.raises(MemoryError, match="device"):
        next(rendered)
    assert not threads()


def test_an_inverter_that_fails_ends_the_generation():
    class Failing(LoudnessInverter):
        def __call__(self, log_mel):
            raise OSError("inverter")

    with pytest.raises(OSError, match="inverter"):
        list(render(Segments(), [song(10, 1), song(20, 1)], Failing()))
    assert not threads()


def test_a_stream_that_is_dropped_frees_its_thread():
    """Without being closed, also when its user fails."""
    model = Segments()
    stream = stream_song(model, LoudnessInverter(), song(10, 1000), seed=0, progress=False)
    next(stream)
    assert threads()
    del stream
    assert not threads()

    def use():
        for _ in stream_song(model, LoudnessInverter(), song(10, 1000), seed=0, progress=False):
            raise KeyError("user")

    with contextlib.suppress(KeyError):
        use()
    assert not threads()
    assert model.calls < 20


def test_a_stream_that_nobody_uses_waits_with_two_segments():
    model = Segments()
    stream = stream_song(model, LoudnessInverter(), song(10, 1000), seed=0, progress=False)
    next(stream)
    for _ in range(100):
        if model.calls >= 3:
            break
        threading.Event().wait(0.01)
    # One was taken, one waits, and one is ready to wait.
    assert model.calls <= 3
    stream.close()


def test_memory_of_a_stream_does_not_grow():
    stream = stream_song(Segments(), LoudnessInverter(), song(10, 900), seed=0, progress=False)
    tracemalloc.start()
    try:
        for _ in range(200):
            next(stream)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(600):
            next(stream)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    stream.close()
    # 600 segments have 12 MB of audio; JAX's caches of what it has seen fill up.
    assert after - before < 500_000


def test_a_process_ends_while_a_stream_is_left_alone():
    script = (
        "import tests.synthesis.test_rendering as t\n"
        "stream = t.stream_song(t.Segments(), t.LoudnessInverter(), t.song(10, 1000), seed=0,"
        " progress=False)\n"
        "next(stream)\n"
        "print('left alone', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "left alone\n", "")
