import importlib.util
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from spectrodiff.checkpoints.bundled import bundled_inverter
from spectrodiff.checkpoints.layouts.store import load_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.commands import program
from spectrodiff.inverter import OnnxInverter
from spectrodiff.inverter.files import load_inverter, save_inverter
from spectrodiff.inverter.trained import trained_inverter
from tests.support.checkpoint_writers import copy_writable, golden_params
from tests.support.inverters import random_features, random_inverter


def main(arguments):
    return program.run(program.main, ["convert", *arguments])


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "spectrodiff", "convert", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_and_store(golden, tmp_path):
    done = run(golden / "checkpoints/paddle", tmp_path / "out", "--dtype", "float16")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    count = sum(map(np.size, golden_params(golden, "context_concat_encodings").values()))
    assert f"{count:,} parameters" in line
    assert line.startswith("source: Paddle; ")
    assert "float16" in line
    stored = flatten(load_model(tmp_path / "out").params)["decoder/output/kernel"]
    weights = golden_params(golden, "context_concat_encodings")["decoder/spec_out_dense/kernel"]
    np.testing.assert_array_equal(stored, weights.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("layout", ["t5x", "diffusers"])
def test_the_other_layouts(golden, tmp_path, capsys, layout):
    assert main([str(golden / "checkpoints" / layout), str(tmp_path / "out")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert load_model(tmp_path / "out").config.width == 32


def one_error_line(done) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_hostile_model(golden, tmp_path):
    class Touch:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'canary'}",)

    folder = copy_writable(golden / "checkpoints/paddle", tmp_path / "in")
    (folder / "decoder/model_state.pdparams").write_bytes(pickle.dumps({"a": Touch()}, 4))
    line = one_error_line(run(folder, tmp_path / "out"))
    assert str(folder / "decoder/model_state.pdparams") in line
    assert "system" in line
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_an_output_that_holds_something(golden, tmp_path, capsys):
    (tmp_path / "song.wav").touch()
    assert main([str(golden / "checkpoints/t5x"), str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {tmp_path}: expected a new or empty folder")


def test_a_model_that_is_not_there(tmp_path, capsys):
    assert main([str(tmp_path / "none"), str(tmp_path / "out")]) == 1
    assert "expected a folder with a model" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(golden, tmp_path):
    # A limit on the size of files fails as a full disk does.
    script = (
        "import resource, signal, sys\n"
        "from spectrodiff.commands import convert, program\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "program.finish(program.run(convert.main))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, golden / "checkpoints/paddle", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(tmp_path / "out") in one_error_line(done)
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_an_inverter(golden, tmp_path):
    save_inverter(random_inverter("tiny"), tmp_path / "own.safetensors")
    arguments = [str(golden / "checkpoints/t5x"), str(tmp_path / "out")]
    assert main([*arguments, "--inverter", str(tmp_path / "own.safetensors")]) == 0
    stored = load_model(tmp_path / "out").inverter
    assert stored == tmp_path / "out/inverter.safetensors"
    assert stored.read_bytes() == (tmp_path / "own.safetensors").read_bytes()


def test_the_layout_of_diffusers(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["untrained", str(out), "--layout", "diffusers"]) == 0
    assert "with inverter" in capsys.readouterr().out
    again = open_checkpoint(out)
    assert again.layout == "diffusers"
    assert again.sampling == open_checkpoint("untrained").sampling
    features = random_features(20)
    wanted = trained_inverter(load_inverter(bundled_inverter()))(features)
    np.testing.assert_allclose(OnnxInverter(again.inverter)(features), wanted, atol=1e-3)


def test_what_another_layout_cannot_hold(tmp_path, capsys):
    assert main(["mini", str(tmp_path / "out"), "--layout", "diffusers"]) == 1
    assert "ModelConfig.context_frames: expected 256" in capsys.readouterr().err
    arguments = ["mini", str(tmp_path / "out"), "--layout", "onnx", "--dtype", "float16"]
    assert main(arguments) == 1
    assert "--dtype: expected float32" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_recurrent_inverter_is_left_out_of_other_layouts(tmp_path, capsys, caplog):
    inverter = tmp_path / "recurrent.safetensors"
    save_inverter(random_inverter("recurrent_tiny"), inverter)
    arguments = ["untrained", str(tmp_path / "out"), "--layout", "diffusers"]
    assert main([*arguments, "--inverter", str(inverter)]) == 0
    assert "without inverter" in capsys.readouterr().out
    assert "recurrent" in caplog.text
    assert open_checkpoint(tmp_path / "out").inverter is None


@pytest.mark.parametrize(("layout", "name"), [("onnx", "x.onnx"), ("diffusers", "x.safetensors")])
def test_a_file_is_no_place_for_another_layout(tmp_path, capsys, layout, name):
    assert main(["untrained", str(tmp_path / name), "--layout", layout]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: --out: expected a folder for a model in the layout {layout}")
    assert not any(tmp_path.iterdir())


def test_without_the_package_onnx_the_inverter_is_what_needs_it(tmp_path, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "onnx" else find(name)
    )
    assert main(["untrained", str(tmp_path / "out"), "--layout", "diffusers"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: the inverter, which is stored as ONNX: expected the packages")
    assert "no onnx" in error
    assert not any(tmp_path.iterdir())
