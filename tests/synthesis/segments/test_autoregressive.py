"""Rendering with the autoregressive baseline, through the same interface as with diffusion."""

import dataclasses
import logging

import jax
import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.audio.features import scale, unscale
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import ConfigError
from spectrodiff.models.autoregressive import Autoregressor, sample
from spectrodiff.models.definition import define
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.synthesis.songs import song_key
from tests.support.checkpoint_writers import golden_params, write_t5x
from tests.support.inverters import LoudnessInverter


@pytest.fixture(scope="module")
def run_folder(golden, tmp_path_factory):
    """A run folder of the original system."""
    folder = tmp_path_factory.mktemp("run")
    write_t5x(folder, golden_params(golden, "autoregressive"))
    return folder


@pytest.fixture(scope="module")
def synth(run_folder):
    return sd.load(run_folder, inverter=LoudnessInverter())


@pytest.fixture(scope="module")
def midi(golden):
    return golden / "midi"


def test_a_song_consists_of_segments_sampled_from_the_network(synth, run_folder, midi):
    song = tokenize_song(midi / "held_chords.mid", max_tokens=64, segment_frames=16)
    rendered = synth.render(midi / "held_chords.mid", seed=3)
    params = open_checkpoint(run_folder).params
    definition = define(Autoregressor, synth.config)
    write = jax.jit(lambda params, *inputs: sample(definition.merge(params), *inputs))
    key = song_key(3, song.tokens)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(4))
    frames = np.asarray(write(params, song.tokens[:4], keys)).reshape(-1, 128)
    expected = np.asarray(unscale(scale(frames)))
    np.testing.assert_allclose(rendered.log_mel[: len(expected)], expected, atol=1e-3)
    assert len(rendered.audio) == song.num_samples


def test_songs_in_a_batch_and_streamed_songs_are_the_same(synth, midi):
    names = ["overlaps.mid", "held_chords.mid"]
    together = synth.render_many([midi / name for name in names])
    for name, song in zip(names, together, strict=True):
        alone = synth.render(midi / name)
        np.testing.assert_allclose(song.log_mel, alone.log_mel, atol=1e-3)
    streamed = np.concatenate([part.audio for part in synth.stream(midi / names[0])])
    np.testing.assert_allclose(streamed, together[0].audio, atol=1e-4)


def test_devices_share_a_batch(run_folder, midi):
    names = [midi / name for name in ("overlaps.mid", "held_chords.mid")]
    many = sd.load(run_folder, inverter=LoudnessInverter(), devices=jax.devices())
    one = sd.load(run_folder, inverter=LoudnessInverter(), devices=jax.devices()[:1])
    for spread, alone in zip(many.render_many(names), one.render_many(names), strict=True):
        np.testing.assert_allclose(spread.log_mel, alone.log_mel, atol=1e-3)


def test_settings_of_diffusion_are_ignored_with_a_message(run_folder, midi, caplog):
    caplog.set_level(logging.INFO)
    synth = sd.load(run_folder, inverter=LoudnessInverter())
    plain = synth.render(midi / "overlaps.mid")
    other = synth.render(midi / "overlaps.mid", steps=3, sampler="ddim", guidance=1.0)
    np.testing.assert_array_equal(plain.log_mel, other.log_mel)
    logged = [record.message for record in caplog.records if "autoregressive" in record.message]
    assert logged == [
        "this model is autoregressive: it ignores steps, sampler, guidance and all other "
        "settings of the sampling"
    ]
    with pytest.raises(ConfigError, match=r"sampler: expected one of .*, got 'euler'"):
        synth.render(midi / "overlaps.mid", sampler="euler")


def test_the_seed_changes_the_song(synth, midi):
    songs = [synth.render(midi / "overlaps.mid", seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(songs[0].log_mel, songs[1].log_mel)
    assert np.abs(songs[0].log_mel - songs[2].log_mel).mean() > 1e-3


def test_predict_noise_is_refused(synth):
    with pytest.raises(ConfigError, match="predict_noise: expected a diffusion model, got an auto"):
        synth.predict_noise(np.ones((1, 4), int), None, None, np.zeros((1, 16, 128)), np.ones(1))


def test_a_model_stored_in_our_layout_renders_the_same(synth, run_folder, midi, tmp_path):
    checkpoint = open_checkpoint(run_folder)
    assert checkpoint.layout == "T5X"
    save_model(checkpoint, tmp_path / "model")
    stored = sd.load(tmp_path / "model", inverter=LoudnessInverter())
    assert stored.config == dataclasses.replace(synth.config, kind="autoregressive")
    song = midi / "overlaps.mid"
    np.testing.assert_array_equal(stored.render(song).log_mel, synth.render(song).log_mel)


def test_bfloat16_renders_nearly_the_same(synth, run_folder, midi):
    half = sd.load(run_folder, inverter=LoudnessInverter(), precision="bfloat16")
    song = midi / "overlaps.mid"
    difference = half.render(song).log_mel - synth.render(song).log_mel
    assert np.abs(difference).mean() < 0.1
