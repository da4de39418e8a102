import dataclasses
import json
import os

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from spectrodiff.checkpoints.layouts.store import load_model, save_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.tokenization import Tokenization

SINCE_FORMAT_3 = ("spacing", "times", "start", "guidance_times", "context_guidance", "overlap")
TOKENS, SAMPLES = dataclasses.asdict(Tokenization()), dataclasses.asdict(Sampling())


@pytest.fixture(scope="module")
def checkpoint(golden):
    """A golden checkpoint with settings that are not the defaults."""
    return dataclasses.replace(
        open_checkpoint(golden / "checkpoints/diffusers"),
        prediction="v",
        schedule="linear:1e-3:0.05:100",
        tokenization=Tokenization(127, False, "full", (0, 40), (35,), True, onsets_only=True),
        sampling=Sampling(
            "ddim",
            3,
            1.25,
            "medium:0.5",
            mask_context=True,
            spacing="logsnr",
            times=(1.0, 0.5, 0.25),
            start=0.9,
            guidance_times=(0.25, 0.5),
            context_guidance=3.0,
            overlap=4,
        ),
    )


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A stored model, to be damaged."""
    save_model(checkpoint, tmp_path / "model")
    return tmp_path / "model"


def test_files_are_as_readable_as_any_other(checkpoint, tmp_path):
    old = os.umask(0o027)
    try:
        save_model(checkpoint, tmp_path / "model")
    finally:
        os.umask(old)
    for path in (tmp_path / "model").iterdir():
        assert path.stat().st_mode & 0o777 == 0o640, path


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_round_trip(checkpoint, tmp_path, dtype):
    save_model(checkpoint, tmp_path / "model", dtype)
    loaded = load_model(tmp_path / "model")
    for field in ("config", "prediction", "schedule", "tokenization", "sampling"):
        assert getattr(loaded, field) == getattr(checkpoint, field)
    assert loaded.inverter == tmp_path / "model/inverter.onnx"
    assert loaded.inverter.read_bytes() == checkpoint.inverter.read_bytes()
    before, after = flatten(checkpoint.params), flatten(loaded.params)
    kind = {"bfloat16": ml_dtypes.bfloat16}.get(dtype, dtype)
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert after[name].dtype == np.float32
        np.testing.assert_array_equal(after[name], values.astype(kind).astype(np.float32))


def test_the_weights_are_an_ordinary_safetensors_file(checkpoint, folder):
    arrays = load_file(folder / "model.safetensors")
    expected = flatten(checkpoint.params)
    assert arrays.keys() == expected.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, expected[name])


def test_models_of_format_2_have_the_defaults_of_later_settings(checkpoint, folder):
    path = folder / "model.json"
    settings = json.loads(path.read_text()) | {"format": 2}
    assert settings["tokenization"].pop("onsets_only")
    assert settings["sampling"].pop("mask_context")
    for name in SINCE_FORMAT_3:
        del settings["sampling"][name]
    for name in ("estimates", "positions", "context_positions"):
        del settings["model"][name]
    path.write_text(json.dumps(settings))
    loaded = load_model(folder)
    assert loaded.config == checkpoint.config
    tokenization = checkpoint.tokenization
    assert loaded.tokenization == dataclasses.replace(tokenization, onsets_only=False)
    assert loaded.sampling == Sampling("ddim", 3, 1.25, "medium:0.5")
    # Other settings are still required.
    del settings["sampling"]["steps"]
    path.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=r"Sampling\.steps, got none"):
        load_model(folder)


def test_models_of_format_3_have_the_defaults_of_later_settings(checkpoint, folder):
    path = folder / "model.json"
    settings = json.loads(path.read_text())
    assert settings["format"] == 5
    assert settings["sampling"]["times"] == [1.0, 0.5, 0.25]
    for name in SINCE_FORMAT_3:
        del settings["sampling"][name]
    # The newest format has all settings.
    path.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=r"Sampling\.context_guidance, got none"):
        load_model(folder)
    path.write_text(json.dumps(settings | {"format": 3}))
    loaded = load_model(folder)
    assert loaded.tokenization == checkpoint.tokenization
    assert loaded.sampling == Sampling("ddim", 3, 1.25, "medium:0.5", mask_context=True)


def test_models_of_format_4_do_not_overlap(checkpoint, folder):
    path = folder / "model.json"
    settings = json.loads(path.read_text())
    assert settings["sampling"].pop("overlap") == 4
    path.write_text(json.dumps(settings | {"format": 4}))
    assert load_model(folder).sampling == dataclasses.replace(checkpoint.sampling, overlap=0)


def test_without_inverter(checkpoint, tmp_path):
    save_model(dataclasses.replace(checkpoint, inverter=None), tmp_path / "model")
    assert load_model(tmp_path / "model").inverter is None
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "model.json",
        "model.safetensors",
    }


def test_a_parameter_that_overflows_float16(checkpoint, tmp_path):
    flat = flatten(checkpoint.params)
    flat["decoder/output/kernel"][0, 0], kept = 70_000, flat["decoder/output/kernel"][0, 0]
    try:
        save_model(checkpoint, tmp_path / "a", "bfloat16")
        with pytest.raises(CheckpointError, match="decoder/output/kernel"):
            save_model(checkpoint, tmp_path / "b", "float16")
    finally:
        flat["decoder/output/kernel"][0, 0] = kept
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_is_overwritten(checkpoint, folder):
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(OutputError):
        save_model(checkpoint, folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_nothing_is_left_when_the_inverter_is_gone(checkpoint, tmp_path):
    lost = dataclasses.replace(checkpoint, inverter=tmp_path / "no.onnx")
    with pytest.raises(OutputError):
        save_model(lost, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 6}, "format = 1 or 2 or 3 or 4 or 5, got 6"),
        ({"format": True}, "format = 1 or 2 or 3 or 4 or 5, got True"),
        ({"prediction": "noise"}, "'eps' or 'x0' or 'v'"),
        ({"prediction": "x0_and_eps"}, "estimates = 2, got 1"),
        ({"schedule": ["cosine"]}, "schedule"),
        ({"schedule": "linear:1:2"}, "a schedule: 'cosine', .*got 'linear:1:2'"),
        ({"schedule": "linear:0.1:1:9"}, r"variances in \(0, 1\), got 'linear:0.1:1:9'"),
        (
            {"tokenization": TOKENS | {"velocity_bins": "1"}},
            "velocity_bins: a whole number, got '1'",
        ),
        ({"tokenization": TOKENS | {"velocity_bins": 1_000_000_000}}, "velocity_bins"),
        ({"tokenization": TOKENS | {"bins": 1}}, "a tokenization, got .*'bins'"),
        ({"tokenization": {}}, "expected Tokenization.drums, got none"),
        ({"sampling": {"sampler": "ddpm"}}, "expected Sampling.context_guidance, got none"),
        ({"tokenization": None}, "a tokenization, got None"),
        ({"sampling": SAMPLES | {"sampler": "euler"}}, "sampler: one of 'ddpm'"),
        ({"sampling": SAMPLES | {"times": [0.5]}}, "times: 1000 times, one per step"),
        ({"sampling": SAMPLES | {"guidance_times": [0.5]}}, "guidance_times: two times in"),
        ({"sampling": [10]}, "a sampling, got"),
        ({"model": {}}, "sizes of a network"),
        ({"model": {"width": 1, "depth": 2}}, "sizes of a network"),
        ({"model": {"path": 1}}, "sizes of a network"),
        ({"model": [1] * 9999}, r"sizes of a network, got \[1, .{1,30}\]$"),
        ({"bytes": {}}, r"model\.safetensors"),
        ({"bytes": {"model.safetensors": 1}}, "expected 1 bytes"),
        ({"bytes": {"../model.safetensors": 1}}, r"model\.safetensors"),
        ({"bytes": [1]}, r"model\.safetensors"),
    ],
)
def test_settings_that_do_not_fit(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "inverter.onnx"])
@pytest.mark.parametrize("part", [0, 0.5, None])
def test_truncated_and_missing_files(folder, name, part):
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    if part is not None:
        (folder / name).write_bytes(data[: int(part * len(data))])
    with pytest.raises(CheckpointError) as error:
        load_model(folder)
    assert error.value.subject == str(folder / name)


def rewrite_weights(folder, change):
    arrays = load_file(folder / "model.safetensors")
    change(arrays)
    save_file(arrays, folder / "model.safetensors")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    del sizes["model.json"]
    edit(folder, bytes=sizes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("decoder/input/kernel"), "no decoder/input/kernel"),
        (lambda arrays: arrays.update(bias=np.zeros(2, np.float32)), "also bias"),
        (
            lambda arrays: arrays.update({"decoder/norm/scale": np.zeros(33, np.float32)}),
            r"\(32,\), got shape \(33,\)",
        ),
        (lambda arrays: arrays.update({"decoder/norm/scale": np.zeros(32, np.int32)}), "int32"),
    ],
)
def test_weights_that_do_not_fit(folder, change, message):
    rewrite_weights(folder, change)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


def test_a_damaged_header(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[8:40] = b"x" * 32
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="complete safetensors"):
        load_model(folder)
