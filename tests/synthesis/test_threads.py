"""One synthesizer used by several threads at once gives what it gives to one."""

import logging
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.synthesis.synthesizer import Synthesizer
from tests.support.inverters import LoudnessInverter
from tests.support.notation import note_table
from tests.support.reference import TINY_CONTEXT, random_params

# More settings than are kept, so that generators are made and forgotten meanwhile.
SETTINGS = [
    {"steps": steps, "guidance": guidance, "sampler": sampler}
    for steps, guidance in [(2, 0.5), (5, 1.0), (9, 3.0)]
    for sampler in ("ddpm", "ddim")
]
THREADS = 8


@pytest.fixture(scope="module")
def synth():
    checkpoint = Checkpoint(TINY_CONTEXT, random_params(TINY_CONTEXT))
    return Synthesizer(checkpoint, LoudnessInverter(), devices=jax.devices()[:1])


def notes(number):
    rows = [(0.1 * k, 0.1 * k + 0.2, 50 + number + k, 90, 0, False) for k in range(4 + number)]
    return note_table(rows)


def rendered(synth, number):
    """All arrays of a song, rendered in one of four ways."""
    settings = {"seed": number, **SETTINGS[number % len(SETTINGS)]}
    way = number % 4
    if way == 0:
        songs = synth.render_many([notes(number), notes(number + 1)], batch_size=2, **settings)
    elif way == 1:
        songs = list(synth.stream(notes(number), **settings))
    elif way == 2:
        take = synth.take(notes(number), **settings)
        songs = [next(take)]
        take.steer(1, steps=3)
        songs += list(take)
    else:
        live = synth.live(**settings)
        live.add(notes(number))
        songs = [live.pull()]
        live.steer(sampler="dpmpp")
        songs += [live.pull(), live.finish()]
    return [array for song in songs for array in (song.audio, song.log_mel)]


def test_threads_get_what_one_gets(synth):
    numbers = [*range(8), *range(8)]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda number: rendered(synth, number), numbers))
    alone = [rendered(synth, number) for number in range(8)]
    for number, arrays in zip(numbers, together, strict=True):
        for ours, expected in zip(arrays, alone[number], strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_a_model_is_made_without_compiling(synth, caplog):
    """Others wait meanwhile, the event loop of the page's server among them."""
    synth.live(steps=7)
    with caplog.at_level(logging.DEBUG), jax.log_compiles():
        synth.live(steps=700)
    assert not [text for text in caplog.messages if "Finished XLA compilation" in text]
