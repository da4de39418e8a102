"""The layout of diffusers, written: names and values by diffusers itself, outputs by its port."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.diffusers_folder import save_diffusers
from spectrodiff.checkpoints.layouts.names import port_sources
from spectrodiff.checkpoints.layouts.ports import NETWORKS, import_diffusers
from spectrodiff.checkpoints.layouts.safetensors_file import read_safetensors
from spectrodiff.checkpoints.layouts.torch_file import read_torch_file
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import flatten, take_apart
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.tokenization import Tokenization
from tests.support.made_models import PORT_SIZES, made_inputs, made_model, outputs_of

MODEL = made_model(
    prediction="v",
    tokenization=Tokenization(programs=(0, 24), drums=(), trim_overlaps=True),
    sampling=Sampling("ddim", 4, guidance=1.0, times=(1.0, 0.7, 0.5, 0.2)),
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusers") / "model"
    save_diffusers(MODEL, folder)
    return folder


def test_read_again_it_is_the_same(exported):
    again = open_checkpoint(exported)
    assert again.layout == "diffusers"
    assert again.description == MODEL.description
    ours, theirs = flatten(MODEL.params), flatten(again.params)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(theirs[name], values, err_msg=name)


def test_entries_are_those_that_diffusers_writes(golden):
    """The weights of a folder that diffusers wrote come out as they went in."""
    folder = golden / "checkpoints/diffusers"
    model = import_diffusers(folder)
    entries = take_apart(model.params, port_sources(model.config), transposed=True)
    written = {}
    for network in NETWORKS:
        (path,) = (path for path in (folder / network).iterdir() if path.suffix != ".json")
        read = read_torch_file if path.suffix == ".bin" else read_safetensors
        written |= {f"{network}/{name}": array for name, array in read(path).items()}
    assert entries.keys() == written.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(entries[name], array.read(), err_msg=name)


def test_settings_are_those_that_diffusers_writes(exported, golden):
    sizes = {"d_model": 16, "d_ff": 24, "num_layers": 2, "dropout_rate": 0.0}
    own = {
        "notes_encoder": sizes,
        "continuous_encoder": {**sizes, "targets_context_length": 256},
        "decoder": {**sizes, "targets_length": 256},
    }
    for network, changes in own.items():
        path = f"{network}/config.json"
        theirs = json.loads((golden / "checkpoints/diffusers" / path).read_text())
        ours = json.loads((exported / path).read_text())
        assert ours == {**theirs, **changes, "_diffusers_version": ours["_diffusers_version"]}
    path = "scheduler/scheduler_config.json"
    theirs = json.loads((golden / "checkpoints/diffusers" / path).read_text())
    ours = json.loads((exported / path).read_text())
    assert ours.pop("prediction_type") == "v_prediction"
    del ours["_diffusers_version"]
    assert ours.items() <= theirs.items()
    index = json.loads((exported / "model_index.json").read_text())
    theirs = json.loads((golden / "checkpoints/diffusers/model_index.json").read_text())
    assert index.keys() == theirs.keys()
    assert index["melgan"] == [None, None]
    for network in NETWORKS:
        assert index[network][1] == theirs[network][1]


def test_the_port_computes_the_same(golden):
    """Its outputs, from such a folder, are stored; see `benchmarks/port_agreement.py`."""
    ours = outputs_of(made_model(), made_inputs(PORT_SIZES, some=1.0))
    with np.load(golden / "port_outputs.npz") as theirs:
        for name in ("notes", "context"):
            np.testing.assert_allclose(ours[name][:, ::8], theirs[name], atol=1e-5)
        # A rounding step of the time, times 20000, moves the outputs at later times.
        for row, tolerance in enumerate((1e-4, 1e-3, 5e-3)):
            wanted = theirs["output"][row]
            np.testing.assert_allclose(ours["output"][row, ::8], wanted, atol=tolerance)
        assert np.abs(theirs["output"]).mean() > 0.5


def test_an_inverter(golden, tmp_path):
    melgan = golden / "checkpoints/diffusers/melgan/model.onnx"
    save_diffusers(dataclasses.replace(MODEL, inverter=melgan), tmp_path / "out")
    assert open_checkpoint(tmp_path / "out").inverter == tmp_path / "out/melgan/model.onnx"
    assert (tmp_path / "out/melgan/model.onnx").read_bytes() == melgan.read_bytes()
    index = json.loads((tmp_path / "out/model_index.json").read_text())
    assert index["melgan"] == ["diffusers", "OnnxRuntimeModel"]


def test_sixteen_bits(tmp_path):
    save_diffusers(MODEL, tmp_path / "out", "bfloat16")
    again = flatten(open_checkpoint(tmp_path / "out").params)
    for name, values in flatten(MODEL.params).items():
        np.testing.assert_allclose(again[name], values, rtol=2**-8, err_msg=name)


@pytest.mark.parametrize("positions", ["sinusoid", "random_phase_trained"])
def test_other_position_tables(tmp_path, positions):
    model = made_model(dataclasses.replace(PORT_SIZES, positions=positions, note_tokens=32))
    save_diffusers(model, tmp_path / "out")
    again = open_checkpoint(tmp_path / "out")
    assert again.config == model.config
    ours, theirs = flatten(model.params), flatten(again.params)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(theirs[name], values)


@pytest.mark.parametrize(
    ("sizes", "settings", "message"),
    [
        ({"context_frames": 0}, {}, "ModelConfig.context_frames: expected 256"),
        ({"context_frames": 64}, {}, "ModelConfig.context_frames: expected 256"),
        ({"target_frames": 64}, {}, "ModelConfig.target_frames: expected 256"),
        ({"mel_bins": 64}, {}, "ModelConfig.mel_bins: expected 128"),
        ({"kind": "autoregressive", "context_frames": 0}, {}, "ModelConfig.kind"),
        ({"cross_attention": "sum"}, {}, "ModelConfig.cross_attention"),
        ({"context_positions": "from_start"}, {}, "ModelConfig.context_positions"),
        ({"vocabulary_size": 1664}, {}, "ModelConfig.vocabulary_size: expected 1536"),
        ({"estimates": 2}, {"prediction": "x0_and_eps"}, "prediction: expected 'eps' or 'x0'"),
        ({"estimates": 2}, {}, "ModelConfig.estimates: expected 1"),
        ({}, {"schedule": "linear"}, "schedule: expected 'cosine'"),
        ({}, {"tokenization": Tokenization(ties=False)}, "Tokenization.ties"),
        ({}, {"tokenization": Tokenization(program_map="full")}, "Tokenization.program_map"),
        ({}, {"tokenization": Tokenization(velocity_bins=127)}, "Tokenization.velocity_bins"),
    ],
)
def test_what_the_port_cannot_play(tmp_path, sizes, settings, message):
    config = dataclasses.replace(PORT_SIZES, **sizes)
    with pytest.raises(ConfigError, match=message):
        save_diffusers(dataclasses.replace(MODEL, config=config, **settings), tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("model", "width", 32, r"ModelConfig.width = 16, got 32"),
        ("model", "cross_attention", "sum", "cross_attention = 'concatenate'"),
        (None, "prediction", "eps", "prediction = 'v', got 'eps'"),
        (None, "schedule", "linear", "schedule = 'cosine'"),
        ("tokenization", "velocity_bins", 127, "velocity_bins = 1, got 127"),
        ("sampling", "steps", 0, "steps"),
    ],
)
def test_settings_that_contradict_those_of_the_port(exported, tmp_path, part, name, value, message):
    folder = shutil.copytree(exported, tmp_path / "copy")
    path = folder / "spectrodiff.json"
    values = json.loads(path.read_text())
    (values[part] if part else values)[name] = value
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=message) as error:
        import_diffusers(folder)
    assert error.value.subject == str(path)
