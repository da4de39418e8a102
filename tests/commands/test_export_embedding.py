"""Export of embeddings: without PyTorch its errors, with it a small network."""

import sys

import numpy as np
import pytest

from spectrodiff.commands import program
from spectrodiff.commands.embeddings.export import KINDS
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.evaluation.metrics.embeddings.embedding import embed
from spectrodiff.evaluation.metrics.embeddings.export.exporting import Exportable, export
from spectrodiff.evaluation.metrics.embeddings.onnx_embedding import OnnxEmbedding
from spectrodiff.evaluation.metrics.embeddings.onnx_recipe import OnnxRecipe


@pytest.mark.parametrize("kind", KINDS)
def test_missing_packages_are_named(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    out = tmp_path / "a.onnx"
    with pytest.raises(ConfigError, match=r"export of .*: expected .*pip install torch"):
        program.main(["export-embedding", kind, "--random_weights", "--out", str(out)])
    assert not out.exists()


@pytest.mark.parametrize("flags", [[], ["--random_weights", "--weights", "file"]])
def test_weights_are_said_once(flags, tmp_path):
    with pytest.raises(ConfigError, match="either weights or --random_weights"):
        program.main(["export-embedding", "clap", *flags, "--out", str(tmp_path / "a.onnx")])


def test_a_small_network(tmp_path):
    torch = pytest.importorskip("torch")

    class Levels(torch.nn.Module):
        def forward(self, samples):
            return (samples.reshape(-1, 100) ** 2).mean(dim=1, keepdim=True)

    recipe = OnnxRecipe("levels", "made up", 1_000, window_samples=500, shortest_samples=100)
    path = tmp_path / "levels.onnx"

    def original(audio):
        return np.mean(audio.reshape(-1, 100) ** 2, axis=1, keepdims=True)

    assert export(Exportable(recipe, Levels(), 300, True, original), path, [0.3, 1.2]) < 1e-5
    embedding = OnnxEmbedding(path)
    assert (embedding.name, embedding.source) == ("levels", "made up")
    audio = np.random.default_rng(0).normal(size=1_200).astype(np.float32)
    found = embed(embedding, audio, "song", sample_rate=1_000, whole_seconds=False)
    np.testing.assert_allclose(found, original(audio), rtol=1e-5)
    # Where the package computes something else, nothing is written.
    other = Exportable(recipe, Levels(), 300, True, lambda audio: 1.1 * original(audio))
    with pytest.raises(CheckpointError, match="a relative difference of"):
        export(other, tmp_path / "other.onnx", [0.3])
    assert not (tmp_path / "other.onnx").exists()
