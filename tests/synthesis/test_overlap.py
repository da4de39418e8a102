"""Segments that share frames with the one before: what they are told, and that they keep them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.diffusion.sampler import Sampler, run, start
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import CosineSchedule
from spectrodiff.music.steering import Steering
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.segments.model import Known, SegmentBatch
from spectrodiff.synthesis.songs import generate_songs
from spectrodiff.synthesis.stems import render_stems
from spectrodiff.synthesis.take import Take
from spectrodiff.synthesis.tuning import CPU
from tests.support.inverters import LoudnessInverter
from tests.support.notation import END, OFF, ON, TIE, note_table, pitch, program, shift
from tests.support.recorded import recorded_engine
from tests.support.reference import TINY_CONTEXT

FEW = {"steps": 3, "sampler": "ddim"}
# 1 s: 51 frames.
SONG = note_table([(0.0, 0.5, 60, 90, 0, False), (0.7, 1.0, 64, 90, 8, False)])


@pytest.fixture(scope="module")
def synth(golden):
    """A model with segments of 16 frames, and as many of context."""
    return sd.load(golden / "checkpoints" / "diffusers", inverter=LoudnessInverter())


def test_rows_of_an_overlapping_song_by_hand():
    """Segments of 16 frames, 0.32 s, that share 4: they begin at -0.08, 0.16, 0.4, 0.64 s, ..."""
    song = tokenize_song(SONG, segment_frames=16, overlap=4)
    rows = [tuple(row[row != 0].tolist()) for row in song.tokens]
    held = (program(0), pitch(60), TIE)
    assert rows == [
        (TIE, shift(8), program(0), ON, pitch(60), END),
        (*held, END),
        (*held, shift(10), OFF, pitch(60), shift(30), program(8), ON, pitch(64), END),
        (TIE, shift(6), program(8), ON, pitch(64), END),
        (program(8), pitch(64), TIE, shift(12), OFF, pitch(64), END),
    ]
    assert (song.num_frames, song.overlap) == (51, 4)


class CountingSegments:
    """Generates the frames of the song 0, 1, 2, ..., and lists what it is told."""

    steps, num_devices, tuning, overlap = 1, 1, CPU, 1
    config = dataclasses.replace(TINY_CONTEXT, target_frames=4, context_frames=4)

    def __init__(self):
        self.told = []

    def __call__(self, batch, on_steps=None):
        del on_steps
        first = 3 * len(self.told) - 1
        known = np.asarray(batch.known.frames)[0, :, 0] if batch.known.valid[0] else []
        self.told.append((np.asarray(batch.context)[0, batch.context_mask[0], 0], known))
        return jnp.tile(jnp.arange(first, first + 4.0)[None, :, None], (1, 1, 128))


def test_the_context_ends_where_the_known_frames_begin():
    model = CountingSegments()
    tokens = np.ones((4, 2), np.int32)
    segments = [part.scaled_mel[:, 0] for part in generate_songs(model, [tokens], seed=0)]
    np.testing.assert_array_equal(np.concatenate(segments), np.arange(12))
    context, known = zip(*(map(list, told) for told in model.told), strict=True)
    assert context == ([], [0, 1], [1, 2, 3, 4], [4, 5, 6, 7])
    assert known == ([], [2], [5], [8])


@pytest.mark.parametrize("name", ["ddim", "dpmpp"])
def test_known_frames_are_seen_at_the_noise_of_each_step(name):
    """Compares with the definition: cos(pi t / 2) x0 + sin(pi t / 2) eps, with the first noise."""
    table, rng = Sampler(name, 7).table(CosineSchedule()), np.random.default_rng(0)
    x0, eps = rng.uniform(-1, 1, (2, 1, 3, 4)).astype(np.float32)
    for count in range(1, 7):
        carry = run(lambda z, _: jnp.asarray(x0), start(jnp.asarray(eps)), table, count=count)
        angle = np.pi / 2 * (1 - count / 7)
        wanted = np.cos(angle) * x0 + np.sin(angle) * eps
        np.testing.assert_allclose(carry.z, wanted, atol=2e-4)


@pytest.mark.parametrize(
    "changes", [{}, {"sampler": "ddpm"}, {"sampler": "dpmpp", "guidance": 1.0}]
)
def test_known_frames_come_out_and_the_others_follow_them(golden, changes):
    checkpoint = open_checkpoint(golden / "checkpoints" / "diffusers")
    config, rng = checkpoint.config, np.random.default_rng(1)
    model = DiffusionSegments(
        config,
        checkpoint.params,
        schedule=CosineSchedule(),
        prediction="eps",
        sampling=checkpoint.sampling.but(**(FEW | {"overlap": 6} | changes)),
        dtype=np.float32,
        mesh=make_mesh(jax.devices()[:1]),
    )

    def sample(frames, valid):
        batch = SegmentBatch(
            np.array([[TIE, program(0), ON, pitch(60), END]] * 2, np.int32),
            jnp.zeros((2, config.context_frames, 128)),
            np.zeros((2, config.context_frames), bool),
            jax.random.split(jax.random.key(0), 2),
            Known(jnp.asarray(frames), np.array(valid)),
        )
        return np.asarray(model(batch))

    low, high = rng.uniform(-1, 1, (2, 2, 6, 128)).astype(np.float32)
    first, second = sample(low, [True, True]), sample(high, [True, False])
    np.testing.assert_array_equal(first[:, :6], low)
    np.testing.assert_array_equal(second[0, :6], high[0])
    assert np.abs(second[1, :6] - high[1]).max() > 0.1
    # The networks have random weights, and still the frames that follow depend on those.
    assert np.abs(first[0, 6:] - second[0, 6:]).max() > 1e-3


def test_songs_and_parts_of_songs_are_the_same_however_they_are_rendered(synth):
    settings = {**FEW, "seed": 4, "overlap": 5}
    other = note_table([(0.0, 2.0, 50, 70, 3, False)])
    beside, _ = synth.render_many([SONG, other], **settings)
    # 16 - 5 frames a segment: 51 frames are 5 segments.
    parts = [list(synth.stream(SONG, **settings)), list(synth.take(SONG, **settings))]
    for log_mels in ([part.log_mel for part in joined] for joined in parts):
        assert len(log_mels) == 5
        np.testing.assert_allclose(np.concatenate(log_mels), beside.log_mel, atol=1e-4)
    alone = list(synth.segments(SONG, **settings))
    assert [len(segment) for segment in alone] == [11] * 5
    np.testing.assert_allclose(np.concatenate(alone)[:51], beside.log_mel, atol=1e-4)
    assert np.abs(beside.log_mel - synth.render(SONG, **FEW, seed=4).log_mel).max() > 0.1


def test_a_take_is_steered_where_its_segments_begin():
    """With 16 - 6 frames a segment, the second begins after 0.2 s."""
    engine, _ = recorded_engine(overlap=6)
    take = Take(engine, note_table([(0.0, 1.0, 60, 90, 0, False)]))
    assert (take.segments, engine.segment_seconds(engine.sampling)) == (6, 0.2)
    parts = list(take)
    take.steer(1, Steering(tempo=0.5))
    assert take.segments == 10  # 0.2 s, and 0.8 s at half speed: 91 frames
    with pytest.raises(ConfigError, match="overlap: expected 6, as in the song, got 0"):
        take.steer(1, overlap=0)
    assert len(np.concatenate([part.audio for part in parts])) == 16_000


def test_times_of_segments(synth):
    """The inverter looks three frames ahead."""
    live = synth.live(overlap=6)
    assert live.segment_seconds == pytest.approx(0.2)
    assert live.latency_seconds == pytest.approx(0.2 + 0.06)
    assert synth.segment_seconds == pytest.approx(0.32)


def test_stems_overlap_as_the_song_does(synth):
    stems = render_stems(synth, SONG, **FEW, overlap=5, seed=2)
    first = SONG.select(SONG.program == 0)
    alone = synth.render(dataclasses.replace(first, total_seconds=1.0), **FEW, overlap=5, seed=2)
    np.testing.assert_allclose(stems.stems[0].log_mel, alone.log_mel, atol=1e-3)


def test_the_place_of_too_many_notes():
    """The third segment of 16 frames that share 4 adds the frames from 24 on, 0.48 s."""
    chord = [(0.5, 0.6, 30 + key, 90, 0, False) for key in range(40)]
    with pytest.raises(MidiError, match=r"in segment 2 \(from 0.48 s\)"):
        tokenize_song(note_table(chord), max_tokens=32, segment_frames=16, overlap=4, strict=True)


def test_an_autoregressive_model_ignores_the_overlap():
    engine, _ = recorded_engine(kind="autoregressive", context_frames=0)
    for overlap in (0, 9):
        sampling = Sampling(overlap=overlap)
        engine.check_overlap(sampling, Sampling())
        assert engine.hop_frames(sampling) == 16


def test_impossible_overlaps(synth):
    for overlap, message in ((9, "at most 8 frames, half a segment, got 9"), (-1, "frames >= 0")):
        with pytest.raises(ConfigError, match=message):
            synth.render(SONG, **FEW, overlap=overlap)
    with pytest.raises(ConfigError, match="segments that share 2 frames, got 0"):
        synth.render(synth.tokenize(SONG), **FEW, overlap=2)
    with pytest.raises(ConfigError, match="overlap: expected 0, as in the song, got 4"):
        synth.live().steer(overlap=4)
