"""Number of programs that rendering compiles, and equal results however they are cut."""

import dataclasses
import gc
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.parallel import BATCH, make_mesh
from spectrodiff.core.runtime import num_cores
from spectrodiff.models.padding import COARSE_NOTE_BUCKETS, note_bucket
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.segments.programs import KEPT_PROGRAMS, compile_steps, steps_per_call
from spectrodiff.synthesis.synthesizer import Synthesizer
from spectrodiff.synthesis.tuning import ACCELERATOR, CPU, tuning_for
from tests.support.inverters import LoudnessInverter
from tests.support.reference import TINY_CONTEXT, random_params

# The network takes 64 tokens.
BUCKETS = (8, 16, 32, 64)
FEW_PROGRAMS = dataclasses.replace(ACCELERATOR, note_buckets=BUCKETS)
FEW = {"steps": 4, "sampler": "dpmpp"}


@pytest.fixture(scope="module")
def checkpoint():
    return Checkpoint(TINY_CONTEXT, random_params(TINY_CONTEXT))


def synthesizer(checkpoint, tuning, devices=1):
    return Synthesizer(
        checkpoint, LoudnessInverter(), devices=jax.devices()[:devices], tuning=tuning
    )


def song(*lengths):
    """A song with segments of some numbers of tokens."""
    rng = np.random.default_rng(sum(lengths))
    tokens = np.zeros((len(lengths), 64), np.int32)
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = rng.integers(3, 1000, length)
    frames = 16 * len(lengths)
    return SongTokens(tokens, frames, 320 * frames, ())


def compiled(caplog, name):
    """Number of programs of a name since the last time."""
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return sum("Finished XLA compilation" in text and f"({name})" in text for text in messages)


def test_songs_of_all_lengths_and_densities_share_few_programs(checkpoint, caplog):
    rng = np.random.default_rng(0)
    songs = [song(*rng.integers(4, 65, count)) for count in (9, 7, 7, 5, 4, 2, 1)]
    jax.clear_caches()  # other tests may have compiled some of the programs
    synth = synthesizer(checkpoint, FEW_PROGRAMS)
    with caplog.at_level(logging.DEBUG), jax.log_compiles():
        synth.render_many(songs, batch_size=4, **FEW)
        programs = compiled(caplog, "advance")
        assert compiled(caplog, "encode") == 0  # the records are cleared
        # Batches of 4 songs, of 2 and of 1, times four numbers of tokens, were the most.
        wanted = set()
        for group in ([0, 1, 2, 3], [4, 5, 6]):
            for number in range(9):
                longest = [np.count_nonzero(songs[n].tokens[number])
                           for n in group if number < len(songs[n].tokens)]  # fmt: skip
                if longest:
                    size = min(size for size in (1, 2, 4) if size >= len(longest))
                    wanted.add((size, min(b for b in BUCKETS if b >= max(longest))))
        assert programs == len(wanted) <= 12
        # More such songs need at most the other programs of the twelve.
        synth.render_many([song(*rng.integers(4, 65, 9)) for _ in range(8)], batch_size=4, **FEW)
        assert programs + compiled(caplog, "advance") <= 12


def test_numbers_are_arguments_and_not_programs(checkpoint, caplog):
    synth = synthesizer(checkpoint, dataclasses.replace(CPU, note_buckets=BUCKETS))
    synth.render(song(20, 20), steps=5, guidance=2.0, sampler="dpmpp")
    with caplog.at_level(logging.DEBUG), jax.log_compiles():
        for steps, guidance, sampler in [(2, 0.5, "ddim"), (17, 4.0, "dpmpp"), (50, 2.0, "ddim")]:
            settings = {"steps": steps, "guidance": guidance, "sampler": sampler}
            for frames in (32, 27, 19):
                tokens = dataclasses.replace(song(20, 20), num_frames=frames)
                synth.render(tokens, **settings)
            list(synth.stream(song(20, 20), **settings))
    compilations = [text for text in caplog.messages if "Finished XLA compilation" in text]
    assert compilations == []


def test_programs_that_were_not_used_for_long_are_freed(checkpoint):
    synth = synthesizer(checkpoint, dataclasses.replace(CPU, note_buckets=BUCKETS))
    list(synth.segments(song(5), steps=2, sampler="ddim"))
    model, client = synth.engine.segments(synth.sampling), jax.devices()[0].client
    gc.collect()
    before = len(client.live_executables())
    # Of tokens in other shapes, which no song here has; they are compiled when they are called.
    for rows in range(100, 100 + KEPT_PROGRAMS):
        model.encoder((rows, 8))
    gc.collect()
    assert len(client.live_executables()) < before
    assert model.encoder((rows, 8)) is model.encoder((rows, 8))


@pytest.mark.parametrize(("steps", "devices"), [(31, 1), (4, 2)])
def test_results_do_not_depend_on_how_programs_are_cut(checkpoint, steps, devices):
    """To the bit, if only the steps per call are part of the program."""
    songs = [song(20, 64), song(11, 30)]
    settings = {"steps": steps, "sampler": "ddpm", "guidance": 2.0}
    argument, static, unrolled = (
        synthesizer(checkpoint, tuning, devices).render_many(songs, **settings)
        for tuning in (
            CPU,
            dataclasses.replace(CPU, static_steps=True),
            dataclasses.replace(CPU, static_steps=True, unrolled_segments=2, unrolled_steps=4),
        )
    )
    for plain, other, last in zip(argument, static, unrolled, strict=True):
        np.testing.assert_array_equal(plain.log_mel, other.log_mel)
        np.testing.assert_allclose(plain.log_mel, last.log_mel, atol=0.05)


def test_a_loop_of_a_known_number_of_steps():
    """The compiler knows the number and the device needs not ask the host."""
    mesh = make_mesh(jax.devices()[:1])

    def advance(rate, state, count):
        return jax.lax.fori_loop(0, count, lambda _, state: jnp.sin(rate * state), state)

    for tuning in (CPU, ACCELERATOR):
        function = compile_steps(advance, mesh, (BATCH, BATCH), BATCH, tuning)
        text = function.lower(jnp.ones(2), jnp.ones(2), 7).compile().as_text()
        assert ('"known_trip_count":{"n":"7"}' in text) == tuning.static_steps
        np.testing.assert_allclose(function(jnp.ones(1), jnp.full(1, 0.5), 2), np.sin(np.sin(0.5)))


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [(1, 1), (8, 8), (12, 12), (23, 23), (40, 20), (50, 25), (99, 11), (1000, 20), (31, 20)],
)
def test_calls_of_equal_length_where_the_steps_can_be_divided(steps, wanted):
    assert steps_per_call(steps, 20) == wanted
    rest = steps % wanted
    assert (rest == 0) == any(
        steps % count == 0 for count in (steps, *range(10, 31)) if count <= 30
    )


def test_note_buckets():
    assert [note_bucket(n, 2048) for n in (1, 64, 65, 400, 2048)] == [64, 64, 128, 448, 2048]
    coarse = [note_bucket(n, 2048, COARSE_NOTE_BUCKETS) for n in (1, 256, 257, 700, 2000)]
    assert coarse == [256, 256, 512, 1024, 2048]
    assert note_bucket(70, 100, COARSE_NOTE_BUCKETS) == 100
    assert [note_bucket(n, 100) for n in (1, 64, 65, 100)] == [64, 64, 100, 100]


def test_processors_have_their_own_settings():
    one = dataclasses.replace(CPU, rows=num_cores())
    assert tuning_for(make_mesh(jax.devices()[:1])) == one
    assert tuning_for(make_mesh(jax.devices()[:2])) == CPU
