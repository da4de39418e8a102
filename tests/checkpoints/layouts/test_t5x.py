import math

import ml_dtypes
import msgpack
import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.t5x import find_t5x, import_t5x, read_t5x_arrays
from spectrodiff.checkpoints.resolve import read_folder
from spectrodiff.checkpoints.tree import expected_shapes, flatten
from spectrodiff.core.errors import CheckpointError
from tests.support.checkpoint_writers import (
    copy_writable,
    golden_params,
    packed,
    write_msgpack,
    write_t5x,
    write_zarr,
    zarr_spec,
)
from tests.support.reference import build

# Our name, the T5X name with its layers; some of every kind, among them the ones that are easy to
# swap (gate and up, the two FiLMs, the two sublayers' norms). The whole tree of the network with
# context is compared in test_layouts.py.
PAIRS = [
    ("decoder/layers/mlp/gate/kernel", "decoder/layers_{}/mlp/wi_0/kernel"),
    ("decoder/layers/mlp/up/kernel", "decoder/layers_{}/mlp/wi_1/kernel"),
    (
        "decoder/layers/self_attention_film/kernel",
        "decoder/layers_{}/FiLMLayer_0/DenseGeneral_0/kernel",
    ),
    ("decoder/layers/mlp_film/kernel", "decoder/layers_{}/FiLMLayer_1/DenseGeneral_0/kernel"),
    ("decoder/layers/mlp_norm/scale", "decoder/layers_{}/pre_mlp_layer_norm/scale"),
]


@pytest.mark.parametrize("kvstore", ["file", "gcs"])
def test_network_without_context(golden, tmp_path, kvstore):
    params = golden_params(golden, "no_context")
    checkpoint = import_t5x(write_t5x(tmp_path, params, kvstore=kvstore))
    assert not checkpoint.config.has_context
    flat = flatten(checkpoint.params)
    assert sum(array.size for array in flat.values()) == sum(map(np.size, params.values()))
    attention = [params[f"encoder/layers_{i}/attention/out/kernel"] for i in range(2)]
    np.testing.assert_array_equal(flat["note_encoder/layers/attention/out/kernel"], attention)
    for ours, theirs in PAIRS:
        layers = [params[theirs.format(i)] for i in range(3)]
        np.testing.assert_array_equal(flat[ours], layers)


@pytest.mark.parametrize("kvstore", ["file", "gcs"])
def test_network_that_sums_cross_attentions(golden, tmp_path, kvstore):
    params = golden_params(golden, "context_sum_cross_attends")
    folder = write_t5x(tmp_path, params, style="sum_cross_attends", kvstore=kvstore)
    checkpoint = import_t5x(folder)
    assert checkpoint.config.cross_attention == "sum"
    flat = flatten(checkpoint.params)
    assert sum(array.size for array in flat.values()) == sum(map(np.size, params.values()))
    for index, source in enumerate(["notes", "context"]):
        for part in ("query", "key", "value", "out"):
            name = f"MultiHeadDotProductAttention_{index}/{part}/kernel"
            np.testing.assert_array_equal(
                flat[f"decoder/layers/cross_attention/{source}/{part}/kernel"],
                [params[f"decoder/layers_{i}/{name}"] for i in range(3)],
            )


def test_autoregressive_network(golden, tmp_path):
    params = golden_params(golden, "autoregressive")
    checkpoint = import_t5x(write_t5x(tmp_path, params))
    assert checkpoint.config.kind == "autoregressive"
    flat = flatten(checkpoint.params)
    assert sum(array.size for array in flat.values()) == sum(map(np.size, params.values()))
    for ours, theirs in [
        ("self_attention/query", "self_attention/query"),
        ("cross_attention/value", "encoder_decoder_attention/value"),
        ("mlp/gate", "mlp/wi_0"),
    ]:
        np.testing.assert_array_equal(
            flat[f"decoder/layers/{ours}/kernel"],
            [params[f"decoder/layers_{i}/{theirs}/kernel"] for i in range(3)],
        )
    np.testing.assert_array_equal(
        flat["decoder/output/kernel"], params["decoder/spec_out_dense/kernel"]
    )


def test_the_cross_attentions_are_summed_in_the_right_places(golden, tmp_path):
    params = golden_params(golden, "context_sum_cross_attends")
    checkpoint = import_t5x(write_t5x(tmp_path, params, style="sum_cross_attends"))
    with np.load(golden / "network_context_sum_cross_attends.npz") as arrays:
        inputs = [arrays[x] for x in ("tokens", "context", "context_mask", "noisy", "time")]
        output = build(checkpoint.config, checkpoint.params)(*inputs)
        np.testing.assert_allclose(output, arrays["output"], atol=2e-4)


def test_bfloat16_arrays(golden, tmp_path):
    params = golden_params(golden, "no_context")
    rounded = {name: values.astype(ml_dtypes.bfloat16) for name, values in params.items()}
    checkpoint = import_t5x(write_t5x(tmp_path, rounded, zarr_type="bfloat16"))
    flat = flatten(checkpoint.params)
    assert {array.dtype for array in flat.values()} == {np.dtype(np.float32)}
    for ours, theirs in [
        ("decoder/norm/scale", "decoder/decoder_norm/scale"),
        ("decoder/output/kernel", "decoder/spec_out_dense/kernel"),
    ]:
        np.testing.assert_array_equal(flat[ours], rounded[theirs].astype(np.float32))


def test_the_newest_step_is_found(golden, tmp_path):
    params = golden_params(golden, "no_context")
    for step in (9_000, 10_000):  # in the order of names the other would be the last
        write_t5x(tmp_path, params, step=step)
    (tmp_path / "checkpoint_20000.tmp-1").mkdir()
    (tmp_path / "checkpoint_30000").mkdir()  # still empty
    assert find_t5x(tmp_path) == tmp_path / "checkpoint_10000"
    assert find_t5x(tmp_path / "checkpoint_9000") == tmp_path / "checkpoint_9000"


@pytest.fixture
def run(golden, tmp_path):
    """The golden T5X run, to be damaged."""
    return copy_writable(golden / "checkpoints/t5x", tmp_path / "run")


SPEC_OUT = "target.decoder.spec_out_dense.kernel"


@pytest.mark.parametrize("damage", ["folder", "metadata", "chunk", "cut chunk", "garbage"])
def test_damaged_array(run, damage):
    array = run / "checkpoint_500000" / SPEC_OUT
    match damage:
        case "folder":
            array.rename(run / "elsewhere")
        case "metadata":
            (array / ".zarray").write_text('{"shape": ')
        case "chunk":  # without further care this one reads as zeros
            (array / "1.0").unlink()
        case "cut chunk":
            (array / "1.0").write_bytes((array / "1.0").read_bytes()[:100])
        case "garbage":
            (array / "1.0").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="zarr array") as error:
        read_folder(run)
    assert error.value.subject.endswith(SPEC_OUT)
    assert "\n" not in str(error.value)


def test_array_of_another_shape(run):
    folder = run / "checkpoint_500000"
    for path in (folder / SPEC_OUT).iterdir():
        path.unlink()
    (folder / SPEC_OUT).rmdir()
    write_zarr(folder / SPEC_OUT, np.zeros((32, 129), np.float32))
    with pytest.raises(CheckpointError, match=r"spec_out.*\(32, 128\), got shape \(32, 129\)"):
        read_folder(run)


@pytest.mark.parametrize("size", [0, 1, 100, 20_000])
def test_truncated_state(run, size):
    path = run / "checkpoint_500000/checkpoint"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError) as error:
        read_folder(run)
    assert error.value.subject == str(path)


@pytest.mark.parametrize("place", ["../{}", "a/../../{}", "/{}", "", "{outside}"])
@pytest.mark.parametrize("kvstore", ["file", "gcs"])
def test_paths_stay_beside_the_file(tmp_path, place, kvstore):
    write_zarr(tmp_path / "secret", np.ones((2, 2), np.float32))
    path = tmp_path / "run/checkpoint_1/checkpoint"
    path.parent.mkdir(parents=True)
    directory = place.format("secret", outside=tmp_path / "secret")
    write_msgpack(path, {"decoder": zarr_spec(directory, (2, 2), kvstore)})
    with pytest.raises(CheckpointError, match="beside the file"):
        read_t5x_arrays(path.parent)


@pytest.mark.parametrize(
    "spec",
    [
        {"driver": "n5", "kvstore": {"driver": "file", "path": "a"}},
        {"driver": "zarr", "kvstore": "file://a"},
        {"driver": "zarr", "kvstore": {"driver": "http", "base_url": "http://127.0.0.1:9/"}},
        {"driver": "zarr", "path": ["a"]},
        {"driver": "zarr", "path": "a\0b"},
        {"driver": "zarr", "path": "a" * 5000},
    ],
)
def test_other_specs_are_refused(tmp_path, spec):
    write_msgpack(tmp_path / "checkpoint", {"decoder": spec})
    with pytest.raises(CheckpointError):
        read_t5x_arrays(tmp_path)


def extension(*content) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb(content))


@pytest.mark.parametrize(
    "leaf",
    [
        3,
        "text",
        [1, 2],
        extension((2,), "object", b"12345678" * 2),
        extension((2,), "float32", b"1234567"),
        extension((2,), "float32", "12345678"),
        extension((1 << 40, 1 << 40), "float32", b""),
        extension((-1, -2), "float32", b"12345678"),
        # Multiplying these sizes would build a list of a billion elements.
        extension((10**9, [0]), "float32", b""),
        extension((2,), ["float32"], b"12345678"),
        msgpack.ExtType(1, b"\xc1"),
        msgpack.ExtType(2, b""),
    ],
)
def test_impossible_leaves(tmp_path, leaf):
    write_msgpack(tmp_path / "checkpoint", {"decoder": {"kernel": leaf}})
    with pytest.raises(CheckpointError):
        read_t5x_arrays(tmp_path)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_tree_nested_too_deeply(tmp_path, depth):
    tree = b"\x81\xa1a" * depth + b"\xc0"
    (tmp_path / "checkpoint").write_bytes(msgpack.packb({"optimizer": {"target": 0}})[:-1] + tree)
    with pytest.raises(CheckpointError):
        read_t5x_arrays(tmp_path)


def test_what_is_no_training_state(tmp_path):
    (tmp_path / "checkpoint").write_bytes(msgpack.packb([1, 2]))
    with pytest.raises(CheckpointError, match="training state"):
        read_t5x_arrays(tmp_path)


def test_parameters_in_the_file_itself(tmp_path):
    values = np.arange(6, dtype=np.float64).reshape(2, 3)
    write_msgpack(tmp_path / "checkpoint", {"a": {"b": packed(values)}})
    arrays = read_t5x_arrays(tmp_path)
    assert arrays["a/b"].shape == (2, 3)
    np.testing.assert_array_equal(arrays["a/b"].read(), values)


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ("  emb_dim = 32\n", "", "a value for T5Config.emb_dim, got none"),
        ("emb_dim = 32", "emb_dim = 48", "of shape"),
        ("emb_dim = 32", "emb_dim = @other()", "a value for T5Config.emb_dim"),
        ("emb_dim = 32", "emb_dim = '32'", "whole number"),
        ("emb_dim = 32", "emb_dim = 0", "whole number"),
        ("emb_dim = 32", "emb_dim = 1000000000000", "whole number"),
        # The product, and with it every shape, stays the same.
        ("num_heads = 2", "num_heads = -2", "whole number"),
        ("'gelu', 'linear'", "'relu', 'linear'", "mlp_activations"),
        ("'concat_encodings'", "'average'", "'concat_encodings' or 'sum_cross_attends'"),
        ("'concat_encodings'", "['sum_cross_attends']", "decoder_cross_attend_style"),
        ("'concat_encodings'", "'sum_cross_attends'", "no decoder/layers_0/MultiHead"),
        ("'terminal_relative'", "'relative'", "'terminal_relative' or 'regular', got 'relative'"),
        ("'fixed_permuted_offset'", "'rotary'", "T5Config.position_encoding = .* got 'rotary'"),
        ("NUM_VELOCITY_BINS = 1", "NUM_VELOCITY_BINS = 127", r"\(1664, 32\), got"),
        ("NUM_VELOCITY_BINS = 1", "NUM_VELOCITY_BINS = 12", "1 or 127"),
        ("NUM_VELOCITY_BINS = 1", "NUM_VELOCITY_BINS = True", "1 or 127"),
        ("'targets_context': 16", "'targets_context': 8", "Embed_0"),
        (", 'targets_context': 16", "", "context_frames"),
        ("{'inputs'", "%OTHER #", "TASK_FEATURE_LENGTHS"),
    ],
)
def test_settings_that_do_not_fit(run, line, replacement, message):
    path = run / "config.gin"
    text = path.read_text()
    assert line in text
    path.write_text(text.replace(line, replacement))
    with pytest.raises(CheckpointError, match=message):
        read_folder(run)


@pytest.mark.parametrize(
    "line",
    [
        "diffusion_utils.DiffusionConfig.model_output = 'score'",
        "train/diffusion_utils.DiffusionSchedule.name = 'linear'",  # without its constants
        "train/diffusion_utils.DiffusionSchedule.name = 'quadratic'",
        "sampler/diffusion_utils.DiffusionSchedule.name = 'quadratic'",
        "network.T5Config.max_decoder_noise_time = 1000",
        "diffusion_utils.SamplerConfig.clip_x0 = False",
        "diffusion_utils.SamplerConfig.name = 'euler'",
        "diffusion_utils.SamplerConfig.logvar_type = 'tiny'",
        "sampler/diffusion_utils.DiffusionSchedule.num_steps = 'many'",
        "preprocessors.map_midi_programs.granularity_type = 'gm'",
        "tasks.NoteRepresentationConfig.onsets_only = True",  # with ties
        "tasks.NoteRepresentationConfig.include_ties = 'no'",
    ],
)
def test_settings_of_other_models(run, line):
    with (run / "config.gin").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(CheckpointError, match=r"config\.gin: expected"):
        read_folder(run)


def test_no_settings(run):
    (run / "config.gin").unlink()
    with pytest.raises(CheckpointError, match=r"config\.gin: expected .*, got no file"):
        read_folder(run)


def test_settings_may_lie_in_the_folder_of_the_step(run):
    (run / "config.gin").rename(run / "checkpoint_500000/config.gin")
    checkpoint = read_folder(run / "checkpoint_500000")
    sizes = (math.prod(shape) for shape in expected_shapes(checkpoint.config).values())
    assert sum(sizes) == 187_520
