"""Recipes in the metadata of ONNX files: windows by hand, and a graph against NumPy."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.embeddings.embedding import embed
from spectrodiff.evaluation.metrics.embeddings.onnx_embedding import OnnxEmbedding
from spectrodiff.evaluation.metrics.embeddings.onnx_recipe import METADATA, OnnxRecipe


def windows(length, **settings):
    """Windows of the samples 1, 2, 3, ..., with zeros where there is padding."""
    audio = np.arange(1, length + 1, dtype=np.float32)
    return [window.tolist() for window in OnnxRecipe("a", **settings).windows(audio)]


def test_without_windows_a_recording_stays_whole():
    assert windows(3) == [[1, 2, 3]]


def test_windows_at_every_hop_of_the_recording():
    """Every hop of the recording begins a window, padded at the end; so fadtk cuts for CLAP."""
    settings = {"window_samples": 4, "hop_samples": 2, "multiple_samples": 2}
    assert windows(5, **settings) == [[1, 2, 3, 4], [3, 4, 5, 0], [5, 0, 0, 0]]
    assert windows(4, **settings) == [[1, 2, 3, 4], [3, 4, 0, 0]]
    assert windows(1, **settings) == [[1, 0, 0, 0]]


def test_windows_around_the_recording():
    """Half a window of zeros surrounds whole windows; so fadtk cuts for DAC."""
    settings = {
        "window_samples": 4,
        "hop_samples": 2,
        "lead_samples": 2,
        "multiple_samples": 4,
    }
    assert windows(3, **settings) == [[0, 0, 1, 2], [1, 2, 3, 0], [3, 0, 0, 0]]
    assert windows(5, **settings) == [
        [0, 0, 1, 2],
        [1, 2, 3, 4],
        [3, 4, 5, 0],
        [5, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_a_last_window_that_is_shorter():
    settings = {"window_samples": 4, "shortest_samples": 2}
    assert windows(8, **settings) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert windows(10, **settings) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert windows(9, **settings) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert windows(1, **settings) == [[1]]


def test_loudness():
    """A sine of 997 Hz at full scale has -3.01 LUFS, by definition of the scale."""
    rate = 48_000
    sine = np.sin(2 * np.pi * 997 * np.arange(2 * rate) / rate).astype(np.float32)

    def scaled(audio, lufs):
        (window,) = OnnxRecipe("a", sample_rate=rate, lufs=lufs).windows(audio)
        return window

    expected = 10 ** ((-16 + 3.01) / 20) * sine
    np.testing.assert_allclose(scaled(0.01 * sine, -16), expected, atol=2e-3)
    np.testing.assert_allclose(scaled(0.5 * sine, -16), expected, atol=2e-3)
    # Not above full scale: a click would be, at the loudness of the rest.
    click = 0.01 * sine
    click[rate] = 0.5
    assert np.abs(scaled(click, -16)).max() == pytest.approx(1)
    # Silence counts as -70 LUFS.
    assert not scaled(np.zeros(rate, np.float32), -16).any()
    assert len(scaled(0.1 * sine[:100], -16)) == 100


def save(path, recipe, extra=()):
    """Saves a graph that computes the mean square of each half of a window of four samples."""
    nodes = [
        helper.make_node("Mul", ["samples", "samples"], ["squares"]),
        helper.make_node("Reshape", ["squares", "shape"], ["halves"]),
        helper.make_node("ReduceMean", ["halves"], ["vectors"], axes=[1], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "embedding",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([2, -1]), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {**recipe.to_metadata(), **dict(extra)})
    onnx.save(model, path)
    return path


def test_a_file_carries_its_name_rate_and_windows(tmp_path):
    recipe = OnnxRecipe(
        "clap-laion-music",
        "laion_clap, some.pt",
        sample_rate=8,
        window_samples=4,
        hop_samples=2,
        multiple_samples=2,
    )
    embedding = OnnxEmbedding(save(tmp_path / "other.onnx", recipe))
    assert embedding.name == "clap-laion-music"
    assert embedding.source == "laion_clap, some.pt"
    assert embedding.sample_rate == 8
    audio = np.array([1, 2, 3, 4, 5, 6, 7], np.float32)
    found = embed(embedding, audio, "song", sample_rate=8, whole_seconds=False)
    padded = [1, 2, 3, 4, 5, 6, 7, 0, 0, 0]
    expected = [
        np.mean(np.square(padded[start + half : start + half + 2]))
        for start in (0, 2, 4, 6)
        for half in (0, 2)
    ]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)
    # The rate of the file counts, not the argument.
    assert OnnxEmbedding(tmp_path / "other.onnx", sample_rate=16_000).sample_rate == 8


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"name": ""}',
        '{"name": 3}',
        '{"name": "a", "other": 3}',
        '{"name": "a", "sample_rate": 0}',
        '{"name": "a", "sample_rate": null}',
        '{"name": "a", "sample_rate": 8.5}',
        '{"name": "a", "window_samples": -1}',
        '{"name": "a", "hop_samples": "2"}',
        '{"name": "a", "lead_samples": -1}',
        '{"name": "a", "multiple_samples": 0}',
        '{"name": "a", "lufs": 3}',
        '{"name": "a", "lufs": NaN}',
    ],
)
def test_damaged_recipes(tmp_path, text):
    path = save(tmp_path / "a.onnx", OnnxRecipe("a"), {METADATA: text})
    with pytest.raises(CheckpointError, match=r"a\.onnx: expected a recipe of an embedding"):
        OnnxEmbedding(path)


def test_metadata_are_read_back():
    recipe = OnnxRecipe("a", "b", 44_100, 10, 5, 2, 3, 4, -16.0)
    metadata = recipe.to_metadata()
    assert OnnxRecipe.from_metadata(metadata, "file") == recipe
    assert json.loads(metadata[METADATA])["sample_rate"] == 44_100
    assert OnnxRecipe.from_metadata({"other": "x"}, "file") is None
