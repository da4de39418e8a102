import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.mt3 import import_mt3
from spectrodiff.core.errors import CheckpointError
from tests.support.checkpoint_writers import golden_params, write_t5x


@pytest.fixture(scope="module")
def weights(golden):
    return golden_params(golden, "mt3")


@pytest.fixture
def imported(tmp_path):
    def load(params, head_width=8):
        return import_mt3(write_t5x(tmp_path, params), head_width)

    return load


def test_layers_are_stacked_in_order(imported, weights):
    _, params = imported(weights)
    ours = params["decoder"]["layers"]["cross_attention"]["query"]["kernel"]
    for layer in range(3):
        name = f"decoder/layers_{layer}/encoder_decoder_attention/query/kernel"
        np.testing.assert_array_equal(ours[layer], weights[name])


def test_the_folder_above_will_do(tmp_path, weights):
    write_t5x(tmp_path / "mt3", weights)
    config, _ = import_mt3(tmp_path / "mt3", 8)
    assert config.heads == 2


def test_missing_weights_say_where_they_are(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match="published at gs://mt3/checkpoints/mt3/"):
            import_mt3(folder)


def test_heads_of_another_width(imported, weights):
    with pytest.raises(CheckpointError, match="heads of width 64, got 16 for all heads"):
        imported(weights, head_width=64)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("decoder/layers_1/mlp/wo/kernel", "no decoder/layers_1/mlp/wo/kernel"),
        ("decoder/token_embedder/embedding", "without decoder/token_embedder/embedding"),
        ("encoder/layers_0/mlp/wi_0/kernel", "without encoder/layers_0/mlp/wi_0/kernel"),
    ],
)
def test_missing_arrays(imported, weights, name, message):
    with pytest.raises(CheckpointError, match=message):
        imported({key: value for key, value in weights.items() if key != name})


def test_left_over_and_unfitting_arrays(tmp_path, weights):
    more = {**weights, "decoder/bias": np.zeros(3, np.float32)}
    with pytest.raises(CheckpointError, match="also decoder/bias"):
        import_mt3(write_t5x(tmp_path / "more", more), 8)
    name = "decoder/logits_dense/kernel"
    other = {**weights, name: weights[name][:, :100]}
    with pytest.raises(CheckpointError, match=r"\(32, 1536\), got shape \(32, 100\)"):
        import_mt3(write_t5x(tmp_path / "other", other), 8)


def test_another_network(tmp_path, golden):
    folder = write_t5x(tmp_path, golden_params(golden, "context_concat_encodings"))
    with pytest.raises(CheckpointError, match="the T5X checkpoint of MT3"):
        import_mt3(folder)
