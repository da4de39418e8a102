"""Command line of an evaluation: all columns, no work done twice, several processes."""

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import gin
import numpy as np
import pytest

from spectrodiff.audio.features import log_mel
from spectrodiff.audio.files import read_audio
from spectrodiff.commands import evaluate
from spectrodiff.commands.prepare import main as prepare
from spectrodiff.core.errors import ConfigError, CorpusError
from tests.support.corpora import write_notes, write_tone
from tests.support.onnx_graphs import save_convolution
from tests.support.stand_ins import LOAD_TRILL, Trill, write_weights

ROOT = Path(__file__).parents[2]
ROWS = """
Evaluation.rows = [@model/Row(), @rough/Row(), @encoded/Row(), @raw/Row()]
model/Row.name = 'model'
rough/Row.name = 'rough'
rough/Row.inverter = '{inverter}'
rough/Row.score_phases = True
encoded/Row.name = 'encoded'
encoded/Row.source = 'encoded'
raw/Row.name = 'raw'
raw/Row.source = 'raw'
Evaluation.sampler = 'dpmpp'
Evaluation.steps = 2
Evaluation.batch_size = 1
Evaluation.replicates = 5
Evaluation.speed_segments = 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folder with a prepared corpus of three test songs, and settings."""
    home = tmp_path_factory.mktemp("home")
    for number in range(4):
        name = home / "pairs" / ("test" if number else "train") / str(number)
        write_tone(name.with_suffix(".wav"), 0.6 + 0.3 * number, hertz=220 * (number + 1))
        write_notes(name.with_suffix(".mid"), (0.1, 0.3, 60), (0.2, 0.5, 64 + number))
    prepare(["pairs", "--source", str(home / "pairs"), "--data_dir", str(home / "data")])
    inverter = save_convolution(home / "rough.onnx", reach=1)
    (home / "rows.gin").write_text(ROWS.format(inverter=inverter))
    return home


@pytest.fixture(autouse=True)
def apart(home, monkeypatch):
    set_up(monkeypatch, home)
    yield
    gin.clear_config()


def set_up(patch, home):
    patch.setenv("SPECTRODIFF_CACHE", str(home / "cache"))
    find = evaluate.find_devices
    # Rendering on many devices is tested elsewhere, and takes longer.
    patch.setattr(evaluate, "find_devices", lambda kind: find(kind)[:1])


def arguments(home, golden, out, *more):
    flags = ["--model", golden / "checkpoints/diffusers", "--dataset", "pairs"]
    flags += ["--data_dir", home / "data", "--gin_file", home / "rows.gin"]
    return [*map(str, flags), "--out", str(home / out), *map(str, more)]


def bindings(*settings):
    return [word for setting in settings for word in ("--gin_bindings", setting)]


@pytest.fixture(scope="module")
def weights(home, golden):
    return write_weights(home / "weights", golden)


@pytest.fixture
def trill(monkeypatch):
    monkeypatch.setattr(LOAD_TRILL, lambda source: Trill())
    # Random weights never end a segment by themselves.
    monkeypatch.setattr("spectrodiff.checkpoints.layouts.mt3.MAX_TOKENS", 24)


def with_weights(weights):
    return bindings(
        f"Evaluation.vggish = '{weights}/vggish.npz'",
        f"Evaluation.trill = '{weights}/trill'",
        f"Evaluation.transcriber = '{weights}/mt3'",
        "Evaluation.transcriber_batch_size = 3",
    )


@pytest.fixture(scope="module")
def full(home, golden, weights):
    """Runs an evaluation with all columns; its scores and its output."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        set_up(patch, home)
        patch.setattr(LOAD_TRILL, lambda source: Trill())
        # Random weights never end a segment by themselves.
        patch.setattr("spectrodiff.checkpoints.layouts.mt3.MAX_TOKENS", 24)
        evaluate.main(arguments(home, golden, "full", *with_weights(weights)))
    return json.loads((home / "full/scores.json").read_text()), printed.getvalue()


def refuse(*arguments, **settings):
    raise AssertionError("nothing should be done again")


def test_all_columns_of_the_paper(home, full):
    full, printed = full
    assert "VGGish FAD" in printed
    assert str(home / "full/index.html") in printed
    assert (home / "full/index.html").is_file()
    assert full["missing"] == []
    names = {metric["name"] for metric in full["metrics"]}
    assert len(names) == 18
    (corpus,) = full["corpora"]
    assert (corpus["name"], corpus["split"], corpus["songs"]) == ("pairs/own", "test", 3)
    for row in ("model", "rough", "encoded", "raw"):
        assert corpus["scores"][row].keys() == names
        assert full["mean"][row].keys() == names
    for metric in full["metrics"]:
        # Joins are a ratio of changes within the audio, not a distance.
        if metric["better"] == "lower" and metric["name"] != "joins":
            values = {row: full["mean"][row][metric["name"]] for row in ("encoded", "raw")}
            assert abs(values["raw"]) < 1e-6 < values["encoded"], metric
    assert full["speed"]["both"] > 0
    assert full["speeds"].keys() == {"model", "rough", "encoded"}
    phases = {row for row, speed in full["speeds"].items() if "from the score" in speed["note"]}
    assert phases == {"rough"}


def test_what_is_scored_is_what_is_heard(home, full):
    """Scores of stored audio, computed here from the files alone."""
    (corpus,) = full[0]["corpora"]
    for song in corpus["per_song"]:
        raw, model = (read_audio(home / "full" / song["media"][row]) for row in ("raw", "model"))
        assert song["seconds"] == len(raw) / 16_000
        expected = np.abs(log_mel(model) - log_mel(raw[: len(model)])).mean()
        assert song["scores"]["model"]["log_mel_l1"] == pytest.approx(expected, rel=1e-3)


def test_nothing_is_done_twice(home, golden, weights, full, trill, monkeypatch, capfd):
    for name in (
        "synthesis.loading.load",
        "inverter.OnnxInverter.__call__",
        "evaluation.scoring.embedding.embed",
        "evaluation.metrics.transcription.mt3.Mt3Transcriber.__call__",
    ):
        monkeypatch.setattr(f"spectrodiff.{name}", refuse)
    evaluate.main([*arguments(home, golden, "full", *with_weights(weights)), "--json"])
    again = json.loads((home / "full/scores.json").read_text())
    printed = json.loads(capfd.readouterr().out)
    assert printed.pop("report") == str(home / "full/index.html")
    assert {"format": again["format"], **printed} == again
    assert again | {"created": ""} == full[0] | {"created": ""}
    # The audio there is not that of other settings.
    for setting, message in (
        ("Evaluation.guidance = 3.0", r"guidance of model: expected 2.0, .*\(or another --out\)"),
        ("Evaluation.max_minutes = 0.01", "max_minutes of pairs/own: expected 10.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            evaluate.main(arguments(home, golden, "full", *bindings(setting)))


def assert_same_means(home, out, full):
    ours = json.loads((home / out / "scores.json").read_text())["mean"]
    for row, scores in ours.items():
        assert scores.keys() == {
            "aligned_log_mel_l1",
            "log_mel_l1",
            "spectral_distance",
            "loudness_error_db",
            "joins",
            "log_mel_statistics_reconstruction",
            "log_mel_statistics_frechet",
        }
        wanted = {name: full[0]["mean"][row][name] for name in scores}
        assert scores == pytest.approx(wanted, rel=1e-3, abs=1e-9)
    return ours.keys()


def test_without_weights_their_columns_are_missing(home, golden, full):
    flags = arguments(home, golden, "bare", *bindings("Evaluation.speed_segments = 0"))
    evaluate.main(flags)
    # The others are the same.
    assert assert_same_means(home, "bare", full) == {"model", "rough", "encoded", "raw"}
    missing = json.loads((home / "bare/scores.json").read_text())["missing"]
    assert {one["metric"] for one in missing} >= {"vggish_frechet", "transcription_f1_full"}


def test_two_processes_share_the_songs(home, golden, full):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    only = bindings("Evaluation.references_only = True", "Evaluation.speed_segments = 0")
    flags = ("--coordinator_address", address, "--num_processes", "2", "--process_id")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "eval.py", *arguments(home, golden, "pair", *only, *flags, number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        for number in (0, 1)
    ]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "references: 2 of 2 songs" in outputs[0][1]
    assert "references" not in outputs[1][1]
    assert "index.html" in outputs[0][0]
    assert "index.html" not in outputs[1][0]
    assert assert_same_means(home, "pair", full) == {"encoded", "raw"}


def test_mistakes_are_said_before_anything_is_rendered(home, golden, monkeypatch):
    monkeypatch.setattr("spectrodiff.evaluation.rendering.Renderer.references", refuse)
    for more, error, message in (
        (["--dataset", "maestro"], CorpusError, "the prepared corpus maestro in"),
        (["--split", "validation"], CorpusError, "one of the splits train, test, got validation"),
        (bindings("Evaluation.step = 1"), ConfigError, "did you mean 'steps'"),
        (bindings("rough/Row.stepps = 1"), ConfigError, "did you mean 'steps'"),
        (bindings("Evaluation.sampler = 'euler'"), ConfigError, "sampler: expected one of"),
        (bindings("rough/Row.steps = 1.5"), ConfigError, "Row.steps: expected a whole number"),
        (bindings("Evaluation.inverter = 'none.onnx'"), Exception, "none.onnx"),
        (bindings("Evaluation.onnx = ['none.onnx']"), Exception, "none.onnx"),
    ):
        with pytest.raises(error, match=message):
            evaluate.main(arguments(home, golden, "failed", *more))
    assert not (home / "failed").exists()
    with pytest.raises(ConfigError, match="datasets: expected at least one prepared corpus"):
        evaluate.main(["--out", str(home / "failed")])
    flags = ["--dataset", "pairs", "--data_dir", str(home / "data"), "--out", str(home / "failed")]
    with pytest.raises(ConfigError, match="model: expected a model for the row model, got none"):
        evaluate.main(flags)
