"""Embeddings in ONNX files."""

import os
from pathlib import Path

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.evaluation.metrics.embeddings.onnx_recipe import OnnxRecipe
from spectrodiff.inverter.onnx import open_session

_EXPECTED = "an ONNX graph from float samples [n] or [1, n] to vectors [frames, dims]"


class OnnxEmbedding:
    """Embedding computed by an ONNX graph.

    The input is samples [n] or [1, n], as the graph declares. The first output is vectors [dims],
    [frames, dims] or [1, frames, dims].

    Its name, sample rate and windows are those of the recipe in the file's metadata
    (see `OnnxRecipe`). Without one it has the name of the file, and recordings are embedded whole.

    Args:
        path: the .onnx file.
        sample_rate: sample rate of its input in Hz, if the file has no recipe.

    Raises:
        CheckpointError: if the file is missing, damaged, or has other inputs.
    """

    def __init__(self, path: str | os.PathLike[str], *, sample_rate: int = SAMPLE_RATE) -> None:
        self._path = Path(path)
        self._session = open_session(self._path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._recipe = OnnxRecipe.from_metadata(metadata, self._path) or OnnxRecipe(
            self._path.stem, sample_rate=sample_rate
        )
        self.name, self.sample_rate = self._recipe.name, self._recipe.sample_rate
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) > 2:
            found = ", ".join(f"{node.name} {node.shape} {node.type}" for node in inputs)
            raise CheckpointError(self._path, _EXPECTED, f"one from {found}")
        self._input = inputs[0].name
        self._has_batch_axis = len(inputs[0].shape) == 2
        self._output = self._session.get_outputs()[0].name

    @property
    def source(self) -> str:
        """Package and weights that the graph was made from; empty if unknown."""
        return self._recipe.source

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Embeds audio, float32 [samples], to float32 [frames, dims]."""
        return np.concatenate([self._embed(window) for window in self._recipe.windows(audio)])

    def _embed(self, audio: np.ndarray) -> np.ndarray:
        samples = audio[np.newaxis] if self._has_batch_axis else audio
        try:
            (vectors,) = self._session.run([self._output], {self._input: samples})
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise CheckpointError(self._path, _EXPECTED, first_line(error)) from error
        if vectors.ndim == 3 and len(vectors) == 1:
            vectors = vectors[0]
        if vectors.ndim not in (1, 2):
            raise CheckpointError(self._path, _EXPECTED, f"output of shape {vectors.shape}")
        return np.atleast_2d(vectors).astype(np.float32, copy=False)
