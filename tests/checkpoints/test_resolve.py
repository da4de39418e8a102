import re
import shutil

import pytest

from spectrodiff.checkpoints import bundled
from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("t5x", "T5X"),
        ("t5x/checkpoint_500000", "T5X"),
        ("t5x/checkpoint_500000/checkpoint", "T5X"),
        ("diffusers", "diffusers"),
        ("diffusers/model_index.json", "diffusers"),
        ("paddle", "Paddle"),
        ("paddle/model_index.json", "Paddle"),
    ],
)
def test_folders_and_files(golden, path, layout):
    for name in (golden / "checkpoints" / path, str(golden / "checkpoints" / path)):
        assert open_checkpoint(name).layout == layout


@pytest.mark.parametrize("layout", ["t5x", "diffusers"])
def test_an_unpacked_archive(golden, tmp_path, layout):
    shutil.copytree(golden / "checkpoints" / layout, tmp_path / "some/name/model")
    (tmp_path / "some/__MACOSX").mkdir()
    (tmp_path / "some/.DS_Store").touch()
    assert open_checkpoint(tmp_path / "some").config.width == 32
    (tmp_path / "some/another").mkdir()
    with pytest.raises(CheckpointError):  # no guessing which
        open_checkpoint(tmp_path / "some")


def test_names_relative_to_home(golden, tmp_path, monkeypatch):
    shutil.copytree(golden / "checkpoints/t5x", tmp_path / "model")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_checkpoint("~/model").layout == "T5X"


def test_a_bundled_model(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path / "weights")
    assert bundled.default_model() == "untrained"
    with pytest.raises(CheckpointError, match="one of the names untrained, small_with_context"):
        open_checkpoint("mini")
    model = open_checkpoint(golden / "checkpoints/paddle")
    save_model(model, tmp_path / "weights/mini")
    assert bundled.default_model() == "mini"
    assert open_checkpoint("mini").config.width == 32
    # A folder of that name is what was meant.
    shutil.copytree(golden / "checkpoints/t5x", tmp_path / "mini")
    assert open_checkpoint("mini").layout == "T5X"


@pytest.mark.parametrize("name", ["small_with_context", "base_with_context"])
def test_released_names_are_addresses(name):
    assert find_source(name).address == (
        "https://storage.googleapis.com/music-synthesis-with-spectrogram-diffusion/checkpoints/"
        f"{name}.zip"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("base_with_contxt", "base_with_context"),
        ("base-with-context", "base_with_context"),
        ("small", "small_with_context"),
        ("Mini", "mini"),
        ("untraned", "untrained"),
        ("runs/on", "runs/one"),
        (
            "paddle:google/music-spectrogram-diffusion@1",
            "paddle:google/music-spectrogram-diffusion",
        ),
    ],
)
def test_misspelt_names_get_a_suggestion(name, meant, tmp_path, monkeypatch):
    (tmp_path / "runs/one").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=re.escape(f"(did you mean {meant}?)")):
        open_checkpoint(name, hub_endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "./runs/a",
        "/no/such/folder",
        "a/b/c",
        "-x/y",
        "",
        "ftp://a/b",
        "~nobody/x",
        "a\0b",
        "a" * 5000,
    ],
)
def test_nonsense_is_told_what_is_accepted(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(name)
    if name:  # the empty name is the current folder
        for accepted in ("base_with_context", "small_with_context", "URL", "owner/name", "folder"):
            assert accepted in error.value.expected


@pytest.mark.parametrize("kind", ["empty", "other", "archive"])
def test_what_is_no_model(tmp_path, kind):
    path = tmp_path / "x"
    path.mkdir()
    if kind != "empty":
        path = path / {"other": "song.mid", "archive": "model.zip"}[kind]
        path.touch()
    with pytest.raises(CheckpointError, match=r"model\.json.*T5X.*diffusers.*Paddle"):
        open_checkpoint(path)
