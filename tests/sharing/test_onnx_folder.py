"""Folders of ONNX graphs: the script in them renders what the synthesizer does."""

import dataclasses
import json
import os
import subprocess
import sys
import wave

import jax
import numpy as np
import onnx
import pytest

import spectrodiff as sd
from spectrodiff.commands import program
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.inverter.files import save_inverter
from spectrodiff.inverter.onnx import OnnxInverter
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.sharing.onnx_folder import check_graphs, save_onnx
from spectrodiff.sharing.render_with_onnx import generate
from spectrodiff.synthesis.songs import song_key
from spectrodiff.synthesis.synthesizer import Synthesizer
from tests.support.inverters import LoudnessInverter, random_inverter
from tests.support.made_models import PORT_SIZES, made_model

SIZES = dataclasses.replace(PORT_SIZES, note_tokens=64, target_frames=16, context_frames=12)
NOTES = "examples/bach_prelude_in_c.mid"
SAMPLINGS = {
    "guided": ("v", Sampling("ddim", 3, guidance=1.5)),
    "stochastic": ("x0", Sampling("ddpm", 3, guidance=2.0, variance="medium:0.3")),
    "second order": ("x0_and_eps", Sampling("dpmpp", 4, guidance=1.0, spacing="logsnr")),
    "guided apart": (
        "eps",
        Sampling("ddim", 3, 1.5, start=0.9, context_guidance=0.5, guidance_times=(0.0, 0.7)),
    ),
    "masked": ("v", Sampling("ddim", 2, 1.5, mask_context=True)),
    "overlapping": ("v", Sampling("dpmpp", 3, 1.5, overlap=5)),
    "without context": ("v", Sampling("ddim", 2, 1.5, context_guidance=3.0)),
}


def noise_of(tokens, seed, config):
    """The noise that the synthesizer draws for a song."""
    key = song_key(seed, tokens)

    def noise(segment, number):
        own = jax.random.fold_in(jax.random.fold_in(key, segment), number)
        return np.asarray(jax.random.normal(own, (config.target_frames, config.mel_bins)))

    return noise


@pytest.mark.parametrize("name", SAMPLINGS)
def test_a_song_of_every_kind_of_sampling(tmp_path, name):
    prediction, sampling = SAMPLINGS[name]
    estimates = 2 if prediction == "x0_and_eps" else 1
    frames = 0 if name == "without context" else SIZES.context_frames
    config = dataclasses.replace(SIZES, estimates=estimates, context_frames=frames)
    model = made_model(config, prediction=prediction, sampling=sampling)
    save_onnx(model, tmp_path / "onnx")
    tokens = np.random.default_rng(3).integers(3, 1000, (3, config.note_tokens))
    tokens *= np.arange(config.note_tokens) < [[40], [0], [64]]
    ours = features(Synthesizer(model, LoudnessInverter()), tokens.astype(np.int32))
    theirs = generate(tokens, noise_of(tokens, 5, config), tmp_path / "onnx")
    np.testing.assert_allclose(theirs, ours, atol=1e-3)
    assert ours.std() > 0.5


def features(synth, tokens):
    frames = len(tokens) * (synth.config.target_frames - synth.sampling.overlap)
    song = SongTokens(tokens, frames, frames * 320, (), synth.sampling.overlap)
    return np.concatenate(list(synth.segments(song, seed=5)))


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """The bundled model as it is shared, with its inverter."""
    folder = tmp_path_factory.mktemp("onnx") / "mini"
    assert program.run(program.main, ["convert", "mini", str(folder), "--layout", "onnx"]) == 0
    return folder


def test_a_song_of_the_bundled_model(mini):
    synth = sd.load("mini", score_phases=False)
    # The script has only the tokens: jumps between segments do not fade.
    tokens = dataclasses.replace(synth.tokenize(NOTES), notes=None)
    song = synth.render(tokens, seed=2)
    noise = noise_of(tokens.tokens, 2, synth.config)
    log_mel = generate(tokens.tokens, noise, mini)[: len(song.log_mel)]
    np.testing.assert_allclose(log_mel, song.log_mel, atol=1e-3)
    audio = OnnxInverter(mini / "inverter.onnx")(log_mel)[: len(song.audio)]
    np.testing.assert_allclose(audio, song.audio, atol=1e-3)


def test_the_script_needs_nothing_of_this_package(mini, tmp_path):
    tokens = np.zeros((2, 8), np.int64)
    np.save(tmp_path / "tokens.npy", tokens)
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['render.py', 'tokens.npy', 'song.wav', '3']\n"
        f"runpy.run_path({str(mini / 'render.py')!r}, run_name='__main__')\n"
        "used = {'jax', 'flax', 'spectrodiff'} & sys.modules.keys()\n"
        "assert not used, used\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with wave.open(str(tmp_path / "song.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 2 * 112 * 320)


def test_without_an_inverter_the_script_writes_features(tmp_path):
    model = made_model(SIZES, sampling=Sampling("ddim", 2), name="https://me:pass@h/m.zip?s=1")
    # A recurrent inverter is no ONNX graph.
    inverter = tmp_path / "inverter.safetensors"
    save_inverter(random_inverter("recurrent_tiny"), inverter)
    folder = tmp_path / "onnx"
    save_onnx(model, folder, inverter)
    assert json.loads((folder / "settings.json").read_text())["name"] == "https://h/m.zip"
    tokens = np.zeros((2, 8), np.int64)
    np.save(tmp_path / "tokens.npy", tokens)
    command = [sys.executable, folder / "render.py", "tokens.npy", "song.wav", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "features are written to song.npy" in done.stderr
    assert not (tmp_path / "song.wav").exists()
    random = np.random.default_rng(3)
    shape = (model.config.target_frames, model.config.mel_bins)
    wanted = generate(tokens, lambda *_: random.standard_normal(shape), folder)
    np.testing.assert_array_equal(np.load(tmp_path / "song.npy"), wanted)


def test_a_graph_that_computes_something_else_is_refused(tmp_path):
    model = made_model(SIZES)
    save_onnx(model, tmp_path / "onnx")
    path = tmp_path / "onnx/decoder.onnx"
    graph = onnx.load(path)
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weights) * 1.01
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(graph, path)
    with pytest.raises(CheckpointError, match="an output that differs by less than"):
        check_graphs(model, tmp_path / "onnx", path)


def test_an_autoregressive_model_has_no_graphs(tmp_path):
    model = made_model(dataclasses.replace(SIZES, kind="autoregressive", context_frames=0))
    with pytest.raises(ConfigError, match=r"ModelConfig\.kind: expected 'diffusion'"):
        save_onnx(model, tmp_path / "onnx")
    assert not any(tmp_path.iterdir())


def test_settings_are_written_in_full(mini):
    settings = json.loads((mini / "settings.json").read_text())
    assert len(settings["tokenization"]["programs"]) == 34
    assert [step["time"] for step in settings["steps"]] == [1.0, 0.75, 0.5, 0.25]
    assert {path.name for path in mini.iterdir()} == {
        "settings.json",
        "render.py",
        *(f"{name}.onnx" for name in ("notes_encoder", "context_encoder", "decoder", "inverter")),
    }
