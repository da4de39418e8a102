import dataclasses
import subprocess
import sys

import jax
import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.audio.features import scale
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.synthesis import estimate
from spectrodiff.synthesis.songs import song_key
from spectrodiff.synthesis.synthesizer import Synthesizer
from tests.support.inverters import LoudnessInverter
from tests.support.reference import TINY_CONTEXT, random_params

FEW = {"steps": 4, "sampler": "dpmpp"}


@pytest.fixture(scope="module")
def synth(golden):
    return sd.load(golden / "checkpoints" / "diffusers", inverter=LoudnessInverter())


@pytest.fixture(scope="module")
def midi(golden):
    return golden / "midi"


def test_a_song_has_the_length_of_its_notes(synth, midi):
    song = synth.render(midi / "piano_pedal.mid", **FEW)
    notes = sd.read_midi(midi / "piano_pedal.mid")
    assert song.sample_rate == 16_000
    assert song.audio.shape == (int(notes.total_seconds * 16_000),)
    assert song.audio.dtype == np.float32
    assert song.log_mel.shape == (len(song.audio) // 320 + 1, 128)
    # The number of frames is no multiple of the 16 frames of a segment.
    assert len(song.log_mel) % 16
    np.testing.assert_allclose(
        song.audio, LoudnessInverter()(song.log_mel)[: len(song.audio)], atol=1e-6
    )


def test_three_released_layouts_render_the_same(golden, midi, synth):
    expected = synth.render(midi / "band_drums.mid", **FEW).log_mel
    for layout in ("t5x", "paddle"):
        other = sd.load(golden / "checkpoints" / layout, inverter=LoudnessInverter())
        np.testing.assert_allclose(
            other.render(midi / "band_drums.mid", **FEW).log_mel, expected, atol=1e-3
        )


def test_instruments_are_mapped_as_for_the_released_models_by_default(golden, midi):
    notes = sd.read_midi(midi / "overlaps.mid")
    # Two basses that are one class of Slakh: finger (33) and pick (34).
    songs = [
        dataclasses.replace(notes, program=np.full_like(notes.program, program))
        for program in (33, 34)
    ]
    model = golden / "checkpoints" / "diffusers"

    def features(program_map):
        synth = sd.load(
            model, inverter=LoudnessInverter(), tokenization={"program_map": program_map}
        )
        return [synth.render(song, steps=1, sampler="ddim").log_mel for song in songs]

    nearest, own = features("slakh"), features("full")
    np.testing.assert_array_equal(nearest[0], nearest[1])
    np.testing.assert_array_equal(nearest[0], own[0])
    assert np.abs(own[0] - own[1]).max() > 1e-3


def test_song_is_the_same_alone_and_in_a_batch(synth, midi):
    names = ["overlaps.mid", "piano_pedal.mid", "held_chords.mid"]
    together = synth.render_many([midi / name for name in names], **FEW)
    assert len({len(song.audio) for song in together}) == 3
    for name, song in zip(names, together, strict=True):
        alone = synth.render(midi / name, **FEW)
        assert song.audio.shape == alone.audio.shape
        # Other batch sizes sum in another order; at t = 1 that is divided by alpha = 5e-5.
        np.testing.assert_allclose(scale(song.log_mel), scale(alone.log_mel), atol=0.01)


def test_groups_of_songs_come_back_in_order(synth, midi):
    names = ["held_chords.mid", "overlaps.mid", "piano_pedal.mid"]
    grouped = synth.render_many([midi / name for name in names], batch_size=2, **FEW)
    for name, song in zip(names, grouped, strict=True):
        alone = synth.render(midi / name, **FEW)
        np.testing.assert_allclose(scale(song.log_mel), scale(alone.log_mel), atol=0.01)


def test_every_segment_without_context(synth, midi):
    usual = synth.render(midi / "overlaps.mid", **FEW).log_mel
    alone = synth.render(midi / "overlaps.mid", mask_context=True, **FEW).log_mel
    # The first one never has a context.
    np.testing.assert_array_equal(alone[:16], usual[:16])
    assert np.abs(alone[16:32] - usual[16:32]).max() > 0.01


def test_a_stream_joined_is_the_song(synth, midi):
    whole = synth.render(midi / "piano_pedal.mid", **FEW)
    parts = list(synth.stream(midi / "piano_pedal.mid", **FEW))
    assert len(parts) == 31
    # The first part waits for the three frames that its last frames are inverted with.
    assert len(parts[0].audio) == (16 - 3) * 320
    for part in parts[:-1]:
        assert len(part.audio) == len(part.log_mel) * 320
    np.testing.assert_array_equal(np.concatenate([p.audio for p in parts]), whole.audio)
    np.testing.assert_array_equal(np.concatenate([p.log_mel for p in parts]), whole.log_mel)


def test_a_stream_can_be_closed_early(synth, midi):
    stream = synth.stream(midi / "piano_pedal.mid", **FEW)
    first = next(stream)
    stream.close()
    whole = synth.render(midi / "piano_pedal.mid", **FEW)
    np.testing.assert_array_equal(first.audio, whole.audio[: len(first.audio)])


def sample_naively(synth, tokens, context, context_mask, key, steps, weight):
    """DDPM sampling as in the paper: two evaluations per step, nothing cached."""
    a = np.arctan(np.exp(10.0)) - np.arctan(np.exp(-10.0))
    b = np.arctan(np.exp(-10.0))
    normal = lambda number: np.asarray(  # noqa: E731
        jax.random.normal(jax.random.fold_in(key, number), (1, 16, 128)), np.float64
    )
    z = normal(0)
    for i in range(steps - 1, -1, -1):
        t, s = (i + 1) / steps, i / steps
        snr_t, snr_s = (np.tan(a * time + b) ** -2 for time in (t, s))
        alpha_t, sigma_t = np.sqrt(snr_t / (1 + snr_t)), np.sqrt(1 / (1 + snr_t))
        alpha_s = np.sqrt(snr_s / (1 + snr_s))
        noisy, time = z.astype(np.float32), np.full(1, t, np.float32)
        conditional = synth.predict_noise(tokens, context, context_mask, noisy, time)
        unconditional = synth.predict_noise(
            np.zeros_like(tokens), context, np.zeros_like(context_mask), noisy, time
        )
        eps = weight * np.asarray(conditional) + (1 - weight) * np.asarray(unconditional)
        x0 = np.clip((z - sigma_t * eps) / alpha_t, -1, 1)
        r = snr_t / snr_s
        deviation = np.sqrt(1 - r) * sigma_t
        z = r * alpha_s / alpha_t * z + (1 - r) * alpha_s * x0
        z = x0 if i == 0 else z + deviation * normal(steps - i)
    return z


def test_a_song_is_sampled_as_in_the_paper(synth, midi):
    """Each segment is sampled with the previous one as its context."""
    check_against_naive_sampling(synth, midi / "held_chords.mid", weight=3.0)


@pytest.mark.parametrize("context_frames", [5, 40])
def test_context_of_another_length_than_a_segment(midi, context_frames):
    """Contexts of less than a segment, and of two and a half, which the first segments lack."""
    config = dataclasses.replace(TINY_CONTEXT, context_frames=context_frames)
    synth = Synthesizer(Checkpoint(config, random_params(config)), LoudnessInverter())
    check_against_naive_sampling(synth, midi / "held_chords.mid", weight=2.0)
    names = [midi / name for name in ("overlaps.mid", "held_chords.mid")]
    for name, together in zip(names, synth.render_many(names, **FEW), strict=True):
        alone = synth.render(name, **FEW)
        np.testing.assert_allclose(scale(together.log_mel), scale(alone.log_mel), atol=0.01)
        parts = list(synth.stream(name, **FEW))
        np.testing.assert_array_equal(np.concatenate([p.audio for p in parts]), alone.audio)


def check_against_naive_sampling(synth, path, weight):
    song = tokenize_song(path, max_tokens=64, segment_frames=16)
    rendered = np.asarray(scale(synth.render(path, steps=6, guidance=weight).log_mel))
    key = song_key(0, song.tokens)
    C = synth.config.context_frames
    for number in range(3):
        # The context is the rendered one, so that rounding errors do not accumulate.
        before = rendered[max(16 * number - C, 0) : 16 * number]
        context = np.pad(before, ((0, C - len(before)), (0, 0)))[None]
        mask = np.arange(C)[None] < len(before)
        tokens = song.tokens[number : number + 1]
        segment_key = jax.random.fold_in(key, number)
        expected = sample_naively(synth, tokens, context, mask, segment_key, 6, weight)
        segment = rendered[16 * number : 16 * (number + 1)]
        assert np.abs(segment - expected[0][: len(segment)]).mean() < 2e-3


def test_seed_and_notes_determine_the_song(synth, midi):
    song = midi / "overlaps.mid"
    once, again = (synth.render(song, seed=1, **FEW) for _ in range(2))
    np.testing.assert_array_equal(once.log_mel, again.log_mel)
    assert np.abs(synth.render(song, seed=2, **FEW).log_mel - once.log_mel).mean() > 0.1
    tokens = np.arange(8).reshape(2, 4)
    assert song_key(0, tokens) == song_key(0, tokens.astype(np.int64))
    assert song_key(0, tokens) != song_key(0, tokens[::-1])


def test_devices_share_a_batch(golden, midi):
    devices = jax.devices()
    assert len(devices) == 8
    names = [midi / name for name in ("overlaps.mid", "piano_pedal.mid", "held_chords.mid")]
    folder = golden / "checkpoints" / "paddle"
    many = sd.load(folder, inverter=LoudnessInverter(), devices=devices)
    one = sd.load(folder, inverter=LoudnessInverter(), devices=devices[:1])
    for spread, alone in zip(
        many.render_many(names, **FEW), one.render_many(names, **FEW), strict=True
    ):
        # Four segments, because rounding errors grow from segment to segment.
        np.testing.assert_allclose(scale(spread.log_mel[:64]), scale(alone.log_mel[:64]), atol=0.01)


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_other_predictions(prediction, midi):
    """Noise is predicted and songs are rendered by networks that predict something else."""
    params = random_params(TINY_CONTEXT)
    checkpoint = Checkpoint(TINY_CONTEXT, params, prediction=prediction)
    synth = Synthesizer(checkpoint, LoudnessInverter())
    noisy, time = np.full((1, 16, 128), 0.5, np.float32), np.full(1, 0.5, np.float32)
    tokens, context, mask = np.ones((1, 8), int), np.zeros((1, 16, 128)), np.ones((1, 16), bool)
    plain = Synthesizer(dataclasses.replace(checkpoint, prediction="eps"), LoudnessInverter())
    inputs = (tokens, context, mask, noisy, time)
    output, eps = plain.predict_noise(*inputs), synth.predict_noise(*inputs)
    # At t = 1/2 alpha = sigma = sqrt(1/2).
    half = np.sqrt(0.5)
    expected = {"x0": (noisy - half * output) / half, "v": half * noisy + half * output}
    np.testing.assert_allclose(eps, expected[prediction], atol=1e-5)
    assert np.isfinite(synth.render(midi / "overlaps.mid", **FEW).audio).all()


def test_bfloat16_renders_nearly_the_same(golden, midi, synth):
    half = sd.load(
        golden / "checkpoints" / "t5x", inverter=LoudnessInverter(), precision="bfloat16"
    )
    assert half._models.params["decoder"]["layers"]["mlp"]["up"]["kernel"].dtype == "bfloat16"
    assert half._models.params["decoder"]["output"]["kernel"].dtype == "float32"
    inputs = np.load(golden / "network_context_concat_encodings.npz")
    inputs = [inputs[key] for key in ("tokens", "context", "context_mask", "noisy", "time")]
    difference = half.predict_noise(*inputs) - synth.predict_noise(*inputs)
    assert float(np.abs(difference).mean()) < 0.03


def test_the_import_loads_no_heavy_package():
    heavy = ("jax", "flax", "note_seq", "librosa", "onnxruntime", "matplotlib", "tensorflow")
    code = f"import sys, spectrodiff; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_public_names_load_no_heavy_package_but_jax():
    heavy = ("note_seq", "librosa", "onnxruntime", "matplotlib")
    code = (
        "import sys, spectrodiff; spectrodiff.load, spectrodiff.tokenize, spectrodiff.log_mel;"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps: expected a whole number >= 1, got 0"),
        ({"sampler": "euler"}, "sampler: expected one of 'ddpm', 'ddim', 'dpmpp', got 'euler'"),
        ({"guidance": float("nan")}, "guidance: expected a finite number, got nan"),
    ],
)
def test_impossible_settings(synth, midi, settings, message):
    with pytest.raises(ConfigError, match=message):
        synth.render(midi / "overlaps.mid", **settings)


def test_strict_rendering_refuses_too_many_notes(synth, midi):
    # The dense file has more than the 64 note tokens of this network in a segment.
    with pytest.raises(MidiError, match=r"dense.mid: expected at most 64 tokens in a segment"):
        synth.render(midi / "dense.mid", strict=True, **FEW)


def test_unknown_precision(golden):
    with pytest.raises(ConfigError, match="'float32' or 'bfloat16', got 'int4'"):
        sd.load(golden / "checkpoints" / "paddle", precision="int4")


def test_expected_time_of_all_steps_and_frames(synth, midi, monkeypatch):
    songs = [synth.tokenize(midi / name) for name in ("piano_pedal.mid", "overlaps.mid")]
    long, short = (len(song.tokens) for song in songs)

    def expected(batch_size):
        # One step takes 3 s, another 2 s; inverting half a second of silence takes 1 s.
        ticks = iter([10.0, 13.0, 15.0, 20.0, 21.0])
        return synth.expected_seconds(songs, steps=7, batch_size=batch_size, clock=ticks.__next__)

    monkeypatch.setattr(estimate, "TRIAL_FRAMES", 25)
    assert expected(8).sampling == 2 * 7 * long
    assert expected(1).sampling == 2 * 7 * (long + short)
    frames = sum(song.num_frames for song in songs)
    assert expected(8).inverting == expected(np.int64(1)).inverting == frames / 25


@pytest.mark.parametrize("size", [0, -1, 2.0])
def test_impossible_batches(synth, midi, size):
    with pytest.raises(ConfigError, match="batch_size: expected a whole number >= 1"):
        synth.render_each([midi / "overlaps.mid"], batch_size=size)
