import numpy as np
import pytest
import soundfile

from spectrodiff.audio.features import log_mel
from spectrodiff.checkpoints import bundled
from spectrodiff.commands import program
from spectrodiff.inverter import OnnxInverter
from spectrodiff.inverter.files import load_inverter, save_inverter
from spectrodiff.inverter.griffin_lim import GriffinLim
from spectrodiff.inverter.loading import default_name, open_inverter
from spectrodiff.inverter.trained import TrainedInverter, trained_inverter
from tests.support.inverters import random_inverter


def main(*arguments):
    return program.run(program.main, [*map(str, arguments)])


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "inverter.safetensors"
    save_inverter(random_inverter("tiny"), path)
    return path


def test_export(stored, tmp_path, capsys):
    for name, dtype in (("inverter.onnx", "float32"), ("half.safetensors", "float16")):
        out = tmp_path / name
        assert main("convert", stored, out, "--dtype", dtype) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"{out}  frame-rate, 147,480 parameters, ")
    assert isinstance(open_inverter(tmp_path / "inverter.onnx"), OnnxInverter)
    halved = load_inverter(tmp_path / "half.safetensors").params["norm"]["scale"]
    whole = load_inverter(stored).params["norm"]["scale"]
    np.testing.assert_array_equal(halved, whole.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "{stored}", "a.bin"], "{stored}: expected a folder"),
        (["convert", "nowhere", "a.onnx"], "nowhere: expected an inverter"),
        (["convert", "{stored}", "a.onnx", "--dtype", "float16"], "expected float32 for an .onnx"),
        (
            ["convert", "{stored}", "a.safetensors", "--dtype", "bfloat16"],
            "--dtype: expected float32 or float16 for an inverter",
        ),
        (["convert", "{stored}", "{stored}"], "{stored}: expected another file than the one"),
        (["invert", "nowhere.wav", "a.wav"], "nowhere.wav: expected an audio file"),
        (
            ["invert", "{tone}", "a.wav", "--inverter", "x.onnx"],
            "x.onnx: expected 'griffin-lim'",
        ),
    ],
)
def test_mistakes_are_one_line(stored, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    soundfile.write("tone.wav", np.full(100, 0.1), 16_000)
    names = {"stored": stored, "tone": "tone.wav"}
    assert main(*(argument.format(**names) for argument in arguments)) == 1
    error = capsys.readouterr().err
    assert message.format(**names) in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tone.wav"]


def test_a_recording_through_an_inverter(stored, tmp_path, capsys):
    time = np.arange(8000) / 16_000
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 16_000)
    out = tmp_path / "out.wav"
    assert main("invert", tmp_path / "tone.wav", out, "--inverter", stored) == 0
    assert capsys.readouterr().out == f"{out}  0.5 s, frame-rate\n"
    recorded = soundfile.read(tmp_path / "tone.wav", dtype="float32")[0]
    wanted = trained_inverter(load_inverter(stored))(np.asarray(log_mel(recorded)))
    written = soundfile.read(out)[0]
    np.testing.assert_allclose(written, np.clip(wanted, -1, 32767 / 32768), atol=1e-4)


def test_the_packages_own_inverter_is_the_default(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path)
    assert default_name() == "griffin-lim"
    assert isinstance(open_inverter(default_name()), GriffinLim)
    (tmp_path / "inverter.safetensors").write_bytes(stored.read_bytes())
    assert default_name() == str(tmp_path / "inverter.safetensors")
    assert isinstance(open_inverter(default_name()), TrainedInverter)
