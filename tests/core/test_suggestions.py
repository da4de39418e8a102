import pytest

from spectrodiff.core.suggestions import beside, did_you_mean

NAMES = ["mini", "small_with_context", "base_with_context", "griffin-lim"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("minni", "mini"),
        ("MINI", "mini"),
        ("base", "base_with_context"),
        ("small-with-contxt", "small_with_context"),
        ("grifin_lim", "griffin-lim"),
        ("nonsense", None),
        ("mini", None),
        ("ba", None),  # too short to stand for a name
        ("", None),
    ],
)
def test_the_nearest_name(word, meant):
    assert did_you_mean(word, NAMES) == (f" (did you mean {meant}?)" if meant else "")


def test_paths_beside_one_that_does_not_exist(tmp_path, monkeypatch):
    for name in ("one.onnx", "two.safetensors", ".hidden"):
        (tmp_path / name).touch()
    assert beside(tmp_path / "on.onnx") == [
        str(tmp_path / "one.onnx"),
        str(tmp_path / "two.safetensors"),
    ]
    monkeypatch.chdir(tmp_path)
    assert beside("on.onnx") == ["one.onnx", "two.safetensors"]
    assert beside("folder/on.onnx") == []
    assert beside("a\0b") == ["one.onnx", "two.safetensors"]
    assert beside("a\0b/c") == []
    assert beside("") == []
