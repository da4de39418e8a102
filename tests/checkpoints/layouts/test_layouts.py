"""The three released layouts of one golden network."""

import json

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.ports import import_diffusers, import_paddle
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.settings import TIME_SCALE
from spectrodiff.checkpoints.tree import expected_shapes, flatten
from spectrodiff.core.errors import CheckpointError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.tokenization import Tokenization
from tests.support.checkpoint_writers import copy_writable, golden_params

LAYOUTS = ["t5x", "diffusers", "paddle"]

# Our names to the goldens', which are those of T5X; written out here a second time on purpose.
ENCODER = {
    "positions": "Embed_0/embedding",
    "norm/scale": "encoder_norm/scale",
    "layers/attention_norm/scale": "pre_attention_layer_norm/scale",
    "layers/attention/query/kernel": "attention/query/kernel",
    "layers/attention/key/kernel": "attention/key/kernel",
    "layers/attention/value/kernel": "attention/value/kernel",
    "layers/attention/out/kernel": "attention/out/kernel",
    "layers/mlp_norm/scale": "pre_mlp_layer_norm/scale",
    "layers/mlp/gate/kernel": "mlp/wi_0/kernel",
    "layers/mlp/up/kernel": "mlp/wi_1/kernel",
    "layers/mlp/down/kernel": "mlp/wo/kernel",
}
CROSS = "MultiHeadDotProductAttention_0"
DECODER = {
    "input/kernel": "continuous_inputs_projection/kernel",
    "positions": "Embed_0/embedding",
    "time/in/kernel": "time_emb_dense0/kernel",
    "time/out/kernel": "time_emb_dense1/kernel",
    "norm/scale": "decoder_norm/scale",
    "output/kernel": "spec_out_dense/kernel",
    "layers/self_attention_norm/scale": "pre_self_attention_layer_norm/scale",
    "layers/self_attention_film/kernel": "FiLMLayer_0/DenseGeneral_0/kernel",
    "layers/self_attention/query/kernel": "self_attention/query/kernel",
    "layers/self_attention/key/kernel": "self_attention/key/kernel",
    "layers/self_attention/value/kernel": "self_attention/value/kernel",
    "layers/self_attention/out/kernel": "self_attention/out/kernel",
    "layers/cross_attention_norm/scale": "pre_cross_attention_layer_norm/scale",
    "layers/cross_attention/query/kernel": f"{CROSS}/query/kernel",
    "layers/cross_attention/key/kernel": f"{CROSS}/key/kernel",
    "layers/cross_attention/value/kernel": f"{CROSS}/value/kernel",
    "layers/cross_attention/out/kernel": f"{CROSS}/out/kernel",
    "layers/mlp_norm/scale": "pre_mlp_layer_norm/scale",
    "layers/mlp_film/kernel": "FiLMLayer_1/DenseGeneral_0/kernel",
    "layers/mlp/gate/kernel": "mlp/wi_0/kernel",
    "layers/mlp/up/kernel": "mlp/wi_1/kernel",
    "layers/mlp/down/kernel": "mlp/wo/kernel",
}
STACKS = [
    ("note_encoder", "token_encoder", 2, {"embedding": "token_embedder/embedding", **ENCODER}),
    ("context_encoder", "continuous_encoder", 2, {"input/kernel": "input_proj/kernel", **ENCODER}),
    ("decoder", "decoder", 3, DECODER),
]


def stacked_golden(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    stacked = {}
    for ours, theirs, layers, names in STACKS:
        for name, entry in names.items():
            if name.startswith("layers/"):
                parts = [params[f"{theirs}/layers_{layer}/{entry}"] for layer in range(layers)]
                stacked[f"{ours}/{name}"] = np.stack(parts)
            else:
                stacked[f"{ours}/{name}"] = params[f"{theirs}/{entry}"]
    return stacked


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_parameter_is_exact(golden, layout):
    checkpoint = open_checkpoint(golden / "checkpoints" / layout)
    params = golden_params(golden, "context_concat_encodings")
    expected = stacked_golden(params)
    flat = flatten(checkpoint.params)
    assert flat.keys() == expected.keys() == expected_shapes(checkpoint.config).keys()
    for name, values in expected.items():
        assert flat[name].dtype == np.float32
        np.testing.assert_array_equal(flat[name], values, err_msg=name)
    assert sum(map(np.size, flat.values())) == sum(map(np.size, params.values()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_settings(golden, layout):
    folder = golden / "checkpoints" / layout
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == ModelConfig(
        width=32,
        heads=2,
        head_width=8,
        mlp_width=48,
        encoder_layers=2,
        decoder_layers=3,
        vocabulary_size=1536,
        note_tokens=64,
        target_frames=16,
        context_frames=16,
    )
    assert (checkpoint.prediction, checkpoint.schedule) == ("eps", "cosine")
    assert checkpoint.tokenization == Tokenization(velocity_bins=1)
    assert checkpoint.sampling == Sampling("ddpm", 1000, 2.0, "large")
    assert checkpoint.inverter == (None if layout == "t5x" else folder / "melgan/model.onnx")


def test_the_network_uses_the_same_time_scale():
    from spectrodiff.models.denoiser import MAX_TIME

    assert TIME_SCALE == MAX_TIME


@pytest.fixture(params=["diffusers", "paddle"])
def port(request, golden, tmp_path):
    """A golden folder of a port, to be damaged, with its importer."""
    folder = copy_writable(golden / "checkpoints" / request.param, tmp_path / "port")
    return folder, {"diffusers": import_diffusers, "paddle": import_paddle}[request.param]


def edit(path, **changes):
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | changes))


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("notes_encoder", {"d_model": 33}, "d_model = 33, got 32"),
        ("decoder", {"num_heads": 4, "d_kv": 4}, "num_heads = 2, got 4"),  # the same product
        ("continuous_encoder", {"num_layers": 3}, "num_layers = 2, got 3"),
        ("notes_encoder", {"num_layers": [3]}, r"num_layers = \[3\], got 2"),
        ("continuous_encoder", {"input_dims": 64}, "input_dims = 128, got 64"),
        ("notes_encoder", {"feed_forward_proj": "relu"}, "gated-gelu"),
        ("decoder", {"max_decoder_noise_time": 2000.0}, "max_decoder_noise_time = 20000.0"),
        ("notes_encoder", {"vocab_size": 1664}, r"token_embedder.*\(1664, 32\)"),
        ("notes_encoder", {"vocab_size": 1600}, "vocab_size = 1536 or 1664, got 1600"),
        ("notes_encoder", {"vocab_size": [1536]}, "whole number"),
        ("notes_encoder", {"max_length": "64"}, "note_tokens"),
        ("decoder", {"num_layers": 2}, r"also decoder/decoders\.2\..*\(16 in all\)"),
        ("decoder", {"num_layers": 4}, r"no decoder/decoders\.3\..*\(16 in all\)"),
        ("decoder", {"targets_length": 17}, "position_encoding"),
        ("decoder", {"d_ff": 96, "num_heads": 2}, "d_ff = 48, got 96"),
    ],
)
def test_sizes_that_do_not_fit(port, network, changes, message):
    folder, read = port
    edit(folder / network / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta_schedule": "linear"}, "squaredcos_cap_v2"),
        ({"prediction_type": "noise"}, "'epsilon' or 'sample' or 'v_prediction'"),
        ({"prediction_type": {"a": 1}}, "prediction_type"),
    ],
)
def test_schedulers_of_other_models(port, changes, message):
    folder, read = port
    edit(folder / "scheduler/scheduler_config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("epsilon", "eps"), ("sample", "x0"), ("v_prediction", "v")]
)
def test_prediction_types(port, theirs, ours):
    folder, read = port
    edit(folder / "scheduler/scheduler_config.json", prediction_type=theirs)
    assert read(folder).prediction == ours


def test_scheduler_and_inverter_may_be_absent(port):
    folder, read = port
    (folder / "scheduler/scheduler_config.json").unlink()
    (folder / "melgan/model.onnx").unlink()
    checkpoint = read(folder)
    assert checkpoint.prediction == "eps"
    assert checkpoint.inverter is None


@pytest.mark.parametrize("network", ["notes_encoder", "continuous_encoder", "decoder"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage"])
def test_damaged_weights(port, network, damage):
    folder, read = port
    (path,) = (path for path in (folder / network).iterdir() if path.suffix != ".json")
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {"empty": b"", "cut": data[: len(data) // 2], "garbage": b"x" * 999}[damage]
        )
    with pytest.raises(CheckpointError) as error:
        read(folder)
    assert error.value.subject.startswith(str(folder / network))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [None, "", "[1]", '{"d_model": ', "[" * 100_000, "\xff"])
def test_damaged_settings(port, text):
    folder, read = port
    path = folder / "notes_encoder/config.json"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError) as error:
        read(folder)
    assert error.value.subject == str(path)


@pytest.mark.parametrize("value", [[], {"a": 1}, [[0] * 100] * 1000, "x" * 100_000])
@pytest.mark.parametrize("name", ["d_model", "num_layers", "feed_forward_proj"])
def test_sizes_of_another_type(port, name, value):
    folder, read = port
    edit(folder / "notes_encoder/config.json", **{name: value})
    with pytest.raises(CheckpointError, match=rf"config\.json: expected .*{name}") as error:
        read(folder)
    assert len(str(error.value)) < 1000
