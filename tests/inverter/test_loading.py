import pytest

from spectrodiff.core.errors import CheckpointError
from spectrodiff.inverter.files import load_inverter
from spectrodiff.inverter.griffin_lim import GriffinLim
from spectrodiff.inverter.loading import GRIFFIN_LIM, open_inverter


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("grifin-lim", "griffin-lim"),
        ("Griffin_Lim", "griffin-lim"),
        ("out/inverter.onx", "out/inverter.onnx"),
        ("out/invertr.safetensors", "out/inverter.safetensors"),
    ],
)
def test_misspelt_inverters_get_a_suggestion(name, meant, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    for file in ("inverter.onnx", "inverter.safetensors"):
        (tmp_path / "out" / file).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as error:
        open_inverter(name)
    assert error.value.subject == name
    assert error.value.got == f"no such file (did you mean {meant}?)"
    for accepted in ("griffin-lim", ".onnx", ".safetensors", "run folder"):
        assert accepted in error.value.expected


def test_a_misspelt_file_of_an_inverter(tmp_path):
    (tmp_path / "inverter.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"did you mean .*/inverter\.safetensors"):
        load_inverter(tmp_path / "inverer.safetensors")


def test_without_anything_like_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"got no such file$"):
        open_inverter(tmp_path / "nonsense.onnx")
    assert isinstance(open_inverter(GRIFFIN_LIM), GriffinLim)
