import errno
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from spectrodiff.checkpoints.downloads import catalogue
from spectrodiff.checkpoints.downloads.brought import bring
from spectrodiff.checkpoints.downloads.fetch import fetch, find_local
from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.models.config import SIZES
from tests.support.checkpoint_writers import copy_writable
from tests.support.files import files_below, make_zip

HUB_ID = "google/music-spectrogram-diffusion"
NAMES = {
    "t5x": "base_with_context",
    "diffusers": HUB_ID,
    "paddle": f"paddle:{HUB_ID}",
}
NO_NETWORK = "http://127.0.0.1:9"


@pytest.fixture
def tiny_releases(golden, monkeypatch):
    """The published models are of the golden size, and have no published checksums."""
    size = open_checkpoint(golden / "checkpoints/t5x").config
    monkeypatch.setitem(SIZES, "golden", size)
    entries = {
        name: replace(
            published,
            size="golden",
            files=tuple(replace(file, sha256="") for file in published.files),
        )
        for name, published in catalogue.CATALOGUE.items()
    }
    for name, published in entries.items():
        monkeypatch.setitem(catalogue.CATALOGUE, name, published)


def zipped(folder, path, inside=""):
    files = files_below(folder)
    path.write_bytes(make_zip({f"{inside}{name}": data for name, data in files.items()}))
    return path


@pytest.mark.parametrize("form", ["folder", "zip", "wrapped zip"])
@pytest.mark.parametrize("layout", NAMES)
def test_brought_models_are_found_by_name(tiny_releases, golden, tmp_path, layout, form):
    folder, name = copy_writable(golden / "checkpoints" / layout, tmp_path / "usb"), NAMES[layout]
    (folder / "notes.txt").write_text("mine")
    inside = "base_with_context/" if form == "wrapped zip" else ""
    given = folder if form == "folder" else zipped(folder, tmp_path / "model.zip", inside)
    fetched = bring(find_source(name), given, tmp_path / "cache")
    assert files_below(fetched.folder) == files_below(golden / "checkpoints" / layout)
    assert {file.name for file in fetched.files} == files_below(fetched.folder).keys()
    shutil.rmtree(folder)
    checkpoint = open_checkpoint(
        name, cache=tmp_path / "cache", hub_endpoint=NO_NETWORK, paddle_endpoint=NO_NETWORK
    )
    with np.load(golden / "network_context_concat_encodings.npz") as arrays:
        np.testing.assert_array_equal(
            checkpoint.params["decoder"]["output"]["kernel"],
            arrays["params/decoder/spec_out_dense/kernel"],
        )
    assert fetch(find_source(name), cache=tmp_path / "cache").already
    assert not list((tmp_path / "cache").glob(".partial*"))


def test_the_folder_of_a_step(tiny_releases, golden, tmp_path):
    given = golden / "checkpoints/t5x/checkpoint_500000"
    fetched = bring(find_source("base_with_context"), given, tmp_path)
    assert files_below(fetched.folder) == files_below(golden / "checkpoints/t5x")


def test_another_model_than_that_of_the_name(golden, tmp_path):
    for name, layout in ((name, layout) for layout, name in NAMES.items() if layout != "diffusers"):
        with pytest.raises(CheckpointError, match=f"{name}, whose width is 768, got 32"):
            bring(find_source(name), golden / "checkpoints" / layout, tmp_path)
        assert find_local(find_source(name), tmp_path) is None


def test_another_file_than_that_of_the_hub(golden, tmp_path):
    with pytest.raises(CheckpointError, match="expected sha256 eda770548b0a") as error:
        bring(find_source(HUB_ID), golden / "checkpoints/diffusers", tmp_path)
    assert error.value.subject.endswith("decoder/diffusion_pytorch_model.bin")


def test_a_model_without_its_inverter(tiny_releases, golden, tmp_path):
    folder = copy_writable(golden / "checkpoints/paddle", tmp_path / "usb")
    (folder / "melgan/model.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"its inverter melgan/model\.onnx, got no such file"):
        bring(find_source(NAMES["paddle"]), folder, tmp_path / "cache")


def test_a_damaged_model_is_not_kept(tiny_releases, golden, tmp_path):
    folder = copy_writable(golden / "checkpoints/paddle", tmp_path / "usb")
    weights = folder / "decoder/model_state.pdparams"
    weights.write_bytes(weights.read_bytes()[:-1000])
    source = find_source(NAMES["paddle"])
    with pytest.raises(CheckpointError, match=r"model_state\.pdparams"):
        bring(source, folder, tmp_path / "cache")
    assert find_local(source, tmp_path / "cache") is None
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.parametrize("kind", ["nothing", "empty", "other", "unsafe"])
def test_what_is_no_model(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "empty":
        path.mkdir()
    elif kind == "other":
        path.write_text("no archive")
    elif kind == "unsafe":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../outside", "text")
    expected = {
        "nothing": "or a zip archive of one, got no such file or folder",
        "empty": r"T5X.*got none of these",
        "other": "got another file or a damaged archive",
        "unsafe": "would be written to",
    }[kind]
    with pytest.raises(CheckpointError, match=expected) as error:
        bring(find_source("base_with_context"), path, tmp_path / "cache")
    assert error.value.subject == str(path)
    assert not (tmp_path / "outside").exists()


def test_an_earlier_copy_is_not_replaced(tiny_releases, golden, tmp_path):
    source = find_source("base_with_context")
    place = bring(source, golden / "checkpoints/t5x", tmp_path).folder
    with pytest.raises(OutputError, match="remove it to replace it") as error:
        bring(source, golden / "checkpoints/t5x", tmp_path)
    assert error.value.subject == str(place)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_what_a_killed_process_left_is_removed(tiny_releases, golden, tmp_path, form):
    source, given = find_source("base_with_context"), golden / "checkpoints/t5x"
    if form == "zip":
        given = zipped(given, tmp_path / "model.zip")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(OutputError, match="No space left") as error:
            bring(source, given, tmp_path / "cache")
    assert error.value.subject == str(source.place(tmp_path / "cache"))
    assert list((tmp_path / "cache").glob(".partial*"))
    place = bring(source, given, tmp_path / "cache").folder
    assert {path.name for path in place.parent.iterdir()} == {place.name, f"{place.name}.lock"}
