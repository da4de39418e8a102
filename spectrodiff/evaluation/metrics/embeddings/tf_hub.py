"""Embeddings in TF-Hub SavedModels, the form in which the paper used them. Needs TensorFlow."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError

_INSTALL = "pip install 'spectrodiff[tensorflow]'"


@dataclass(frozen=True)
class HubModel:
    """Published SavedModel that embeds 16 kHz audio.

    Attributes:
        name: name in reports.
        url: address where it is published.
        run: function that calls it: (loaded model, tensor of samples [n]) -> tensor of vectors
            [frames, dims].
    """

    name: str
    url: str
    # TensorFlow is optional, so its types cannot be named here.
    run: Callable[[Any, Any], Any]


VGGISH = HubModel(
    name="VGGish",
    url="https://tfhub.dev/google/vggish/1",
    run=lambda model, samples: model(samples),
)
TRILL = HubModel(
    name="TRILL",
    url="https://tfhub.dev/google/nonsemantic-speech-benchmark/trill/3",
    run=lambda model, samples: model(samples=samples, sample_rate=SAMPLE_RATE)["embedding"],
)


class TfHubEmbedding:
    """Embedding computed by a SavedModel.

    Args:
        model: the published model.
        source: folder that it was unpacked to, or a URL.

    Raises:
        CheckpointError: if it is missing or damaged, or TensorFlow is missing.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, model: HubModel, source: str | os.PathLike[str]) -> None:
        self.name = model.name
        self._model, self._source = model, os.fspath(source)
        self._loaded = _load(model, self._source)

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Embeds audio, float32 [samples], to float32 [frames, dims]."""
        import tensorflow as tf

        try:
            frames = self._model.run(self._loaded, tf.constant(audio, tf.float32))
            return np.asarray(frames, np.float32)
        except Exception as error:  # another model can fail in any way, or return something else
            raise CheckpointError(self._source, _wanted(self._model), str(error)) from error


def _load(model: HubModel, source: str) -> Any:
    is_url = source.startswith(("http://", "https://"))
    if not is_url and not (Path(source) / "saved_model.pb").is_file():
        got = "a folder without saved_model.pb" if Path(source).is_dir() else "no such folder"
        raise CheckpointError(source, _wanted(model), got)
    try:
        if is_url:
            import tensorflow_hub

            return tensorflow_hub.load(source)
        import tensorflow as tf

        return tf.saved_model.load(source)
    except ImportError as error:
        raise CheckpointError(source, f"TensorFlow to run it ({_INSTALL})", str(error)) from error
    except Exception as error:  # downloads and damaged protocol buffers fail in many ways
        raise CheckpointError(source, _wanted(model), str(error)) from error


def _wanted(model: HubModel) -> str:
    return (
        f"the SavedModel of {model.name}, published at {model.url} (without it the columns "
        f"'{model.name} reconstruction' and '{model.name} FAD' stay empty)"
    )
