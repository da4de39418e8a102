"""The command `push`: a run to a folder and to a Hub, and back."""

import json
import logging

import jax
import numpy as np
import pytest
import soundfile

import spectrodiff as sd
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.commands import program
from spectrodiff.commands.sharing.push import parse_flags
from spectrodiff.core.errors import ConfigError
from spectrodiff.inverter.files import load_inverter, save_inverter
from spectrodiff.inverter.trained import trained_inverter
from spectrodiff.synthesis.synthesizer import Synthesizer
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.run_folder import open_run
from tests.support import tiny
from tests.support.corpora import write_notes
from tests.support.files import files_below
from tests.support.inverters import LoudnessInverter, random_inverter
from tests.support.made_models import made_model
from tests.support.made_up import make_evaluation
from tests.support.runs import ADAMW_EMA, settings
from tests.support.servers import COMMIT


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that has taken no step, but has two checkpoints and the files of a run."""
    folder = tmp_path_factory.mktemp("runs") / "own"
    trainer = tiny.Trainer(optimization=ADAMW_EMA)
    with Checkpoints(open_run(folder, settings(), write=True), keep=4) as checkpoints:
        for step in (3, 7):
            checkpoints.save(step, trainer.state, {"batches": step})
    losses = {3: 0.5, 6: 0.25, 8: 0.125}  # the last one is later than both checkpoints
    rows = [{"step": step, "evaluation/loss": loss} for step, loss in losses.items()]
    rows.insert(2, {"step": 7, "loss": 1.0})
    lines = [*map(json.dumps, rows), '{"step": 9, "evaluation/lo']
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    (folder / "given.gin").write_text("Training.steps = 7\nData.folder = '/home/me/secret/music'\n")
    return folder


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "a_song.mid"
    write_notes(path, (0.1, 0.4, 60), (0.2, 0.5, 67))
    return path


def push(*arguments):
    return program.run(program.main, ["push", *map(str, arguments)])


def test_a_run_in_a_folder(run, song, tmp_path, capsys):
    make_evaluation(tmp_path / "scores", {"own/songs:test": ["a"]})
    inverter = tmp_path / "own.safetensors"
    save_inverter(random_inverter("tiny"), inverter)
    out = tmp_path / "out"
    arguments = ["--out", out, "--songs", song, "--evaluation", tmp_path / "scores"]
    arguments += ["--inverter", inverter, "--license", "mit", "--title", "My model"]
    assert push(run, *arguments) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert files_below(out).keys() == {
        "README.md",
        "config.json",
        "model.json",
        "model.safetensors",
        "inverter.safetensors",
        "samples/1_a_song.flac",
        "samples/1_a_song.png",
        "training/given.gin",
    }
    ours, theirs = open_checkpoint(run), open_checkpoint(out)
    assert theirs.description == ours.description
    for name, values in flatten(ours.params).items():
        np.testing.assert_array_equal(flatten(theirs.params)[name], values)
    assert (out / "inverter.safetensors").read_bytes() == inverter.read_bytes()
    synth = sd.load(out)
    audio, rate = soundfile.read(out / "samples/1_a_song.flac", dtype="float32")
    wanted = synth.render(song).audio
    np.testing.assert_allclose(audio, wanted / max(1, np.abs(wanted).max()), atol=2**-15)
    assert rate == 16_000
    card = (out / "README.md").read_text()
    assert "# My model\n" in card
    assert "| steps | 7 of 8 segments" in card
    assert "| loss on evaluation examples | 0.25 |" in card
    assert "Training.steps = 7" in card
    assert "[a song](samples/1_a_song.flac)" in card
    assert "## Evaluation" in card
    assert "secret" not in card
    assert "secret" not in (out / "training/given.gin").read_text()
    assert json.loads((out / "config.json").read_text())["width"] == 32


def test_a_run_on_the_hub_and_back(run, song, hub, capsys):
    arguments = ["--songs", song, "--private", "--message", "A first", "--json"]
    assert push(run, "me/own", *arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == {"commit": f"{hub.url}/me/own/commit/{COMMIT}", "model": "me/own"}
    assert hub.commits == [("me/own", "main", "A first")]
    assert hub.private["me/own"]
    ours = open_checkpoint(run)
    again = sd.load("me/own")
    for name, values in flatten(ours.params).items():
        np.testing.assert_array_equal(flatten(again.checkpoint.params)[name], values)
    assert again.checkpoint.description == ours.description
    assert again.inverter.name == sd.load(run).inverter.name


def test_a_checkpoint_of_a_run(run, tmp_path):
    assert push(run / "checkpoints/3", "--out", tmp_path / "out", "--songs") == 0
    card = (tmp_path / "out/README.md").read_text()
    assert "| steps | 3 of 8 segments" in card
    assert "| loss on evaluation examples | 0.5 |" in card


def test_a_dry_run_prints_the_card(run, hub, capsys):
    assert push(run, "me/own", "--dry_run", "--songs") == 0
    out = capsys.readouterr().out
    assert out.startswith("---\nlibrary_name: spectrodiff\n")
    assert "sd.load('me/own')" in out
    assert push(run, "me/own", "--dry_run", "--songs", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"card": out}
    assert not hub.requests


def test_the_repository_may_follow_the_songs(song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for songs in ([], ["a_song.mid"], ["a_song.mid", "a_song.mid"]):
        flags = parse_flags(["mini", "--songs", *songs, "me/own"])
        assert (flags.repository, flags.songs) == ("me/own", songs)
    # Files, missing ones too, are songs.
    for songs in (["b/other.MID"], [str(song)], ["a_song.mid", "b/c"]):
        flags = parse_flags(["mini", "me/own", "--songs", *songs])
        assert (flags.repository, flags.songs) == ("me/own", songs)
    assert parse_flags(["mini", "--out", "x", "--songs", "b/other.mid"]).repository is None


def test_names_of_songs_that_are_not_utf_8(run, song, tmp_path):
    other = tmp_path / "s\udcff.mid"
    try:
        song.rename(other)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    assert push(run, "--out", tmp_path / "out", "--songs", other) == 0
    assert "[s\\\\udcff](samples/1_" in (tmp_path / "out/README.md").read_text("utf-8")


def test_songs_are_read_before_the_model(tmp_path, capsys):
    missing = tmp_path / "none.mid"
    assert push(tmp_path / "no_model", "--out", tmp_path / "x", "--songs", missing) == 1
    assert f"{missing}: expected a readable MIDI file" in capsys.readouterr().err


def test_a_title_from_an_address_has_no_secrets(monkeypatch, capsys):
    model = made_model(name="https://me:pass@example.com/m.zip?sig=SECRET")
    opened = "spectrodiff.checkpoints.resolve.open_checkpoint"
    monkeypatch.setattr(opened, lambda name: model)
    assert push(model.name, "--dry_run", "--songs") == 0
    out = capsys.readouterr().out
    assert "example.com/m.zip" in out
    assert "SECRET" not in out
    assert "pass" not in out


def test_a_slow_model_renders_songs_only_if_asked(golden, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert push(golden / "checkpoints/diffusers", "--out", tmp_path / "out") == 0
    assert "2000 evaluations" in caplog.text
    assert not (tmp_path / "out/samples").exists()
    assert "Not recorded" in (tmp_path / "out/README.md").read_text()
    melgan = golden / "checkpoints/diffusers/melgan/model.onnx"
    assert (tmp_path / "out/inverter.onnx").read_bytes() == melgan.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "push: expected owner/name, or --out"),
        (["own"], "repository: expected owner/name"),
        (["me/own", "--dry_run", "--out", "x"], "--dry_run: expected no --out beside it"),
        (["me/own", "--out", "x", "--inverter", "none.onnx"], "none.onnx: expected an inverter"),
        (["--out", "x", "--evaluation", "none"], "none"),
        (["me/x--y"], "repository: expected owner/name, as in the addresses of the Hub (letters"),
        (["me/" + "x" * 97], "repository: expected owner/name"),
        (["me/é"], "repository: expected owner/name"),
        (["me/own", "--revision", "a b"], "revision: expected a branch such as main"),
        (["me/own", "--out", "x", "--revision", "a\n```\n# b"], "revision: expected a branch"),
    ],
)
def test_what_cannot_be_pushed(run, hub, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert push(run, *arguments) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not hub.requests
    assert not (tmp_path / "x").exists()


def test_without_a_token_nothing_is_rendered(run, song, hub, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    assert push(run, "me/own", "--songs", song) == 1
    captured = capsys.readouterr().err
    assert "expected a token that may write, got none (hf auth login" in captured
    assert "rendering" not in captured


def test_a_synthesizer_is_saved_and_loaded(tmp_path):
    model, inverter = made_model(prediction="v"), random_inverter("tiny")
    synth = Synthesizer(model, trained_inverter(inverter))
    sd.save(synth, tmp_path / "out", license="mit")
    again = sd.load(tmp_path / "out")
    jax.tree.map(np.testing.assert_array_equal, again.checkpoint.params, model.params)
    assert again.checkpoint.description == model.description
    stored = load_inverter(tmp_path / "out/inverter.safetensors")
    assert stored.config == inverter.config
    jax.tree.map(np.testing.assert_array_equal, stored.params, inverter.params)
    assert "license: mit\n" in (tmp_path / "out/README.md").read_text()
    sd.save(Synthesizer(model, LoudnessInverter()), tmp_path / "without")
    assert not (tmp_path / "without/inverter.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float8"}, "dtype: expected one of float32, .*, got 'float8'"),
        ({"license": 3}, "license: expected a name such as 'cc-by-4.0', got 3"),
    ],
)
def test_what_cannot_be_saved(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        sd.save(Synthesizer(made_model(), LoudnessInverter()), tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
