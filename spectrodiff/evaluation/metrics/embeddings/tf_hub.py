"""Embeddings in TF-Hub SavedModels, the form in which the paper used them. Needs TensorFlow.

TensorFlow takes all memory of every accelerator that it sees, which JAX has to share with it.
Therefore it runs in a process of its own that sees none.
"""

import multiprocessing
import os
import signal
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.runtime import kept_from_children

_INSTALL = "pip install 'tensorflow>=2.18' 'tensorflow-hub>=0.16'"
_END_SECONDS = 5


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


# Named functions, since the model is sent to another process.
def _run_vggish(model: Any, samples: Any) -> Any:
    return model(samples)


def _run_trill(model: Any, samples: Any) -> Any:
    return model(samples=samples, sample_rate=SAMPLE_RATE)["embedding"]


VGGISH = HubModel(
    name="VGGish",
    url="https://tfhub.dev/google/vggish/1",
    run=_run_vggish,
)
TRILL = HubModel(
    name="TRILL",
    url="https://tfhub.dev/google/nonsemantic-speech-benchmark/trill/3",
    run=_run_trill,
)


class TfHubEmbedding:
    """Embedding computed by a SavedModel, on the CPU, in a process that ends with this object.

    Args:
        model: the published model.
        source: folder that it was unpacked to, or a URL.

    Raises:
        CheckpointError: if it is missing or damaged, TensorFlow is missing, or its process ends.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, model: HubModel, source: str | os.PathLike[str]) -> None:
        self.name = model.name
        self._source = os.fspath(source)
        _check_source(model, self._source)
        # A forked process would share JAX's threads and accelerators.
        context = multiprocessing.get_context("spawn")
        self._connection, remote = context.Pipe()
        # As a daemon it ends with this process; if this one is killed, at the end of the pipe.
        self._process: BaseProcess = context.Process(
            target=_serve, args=(remote, model, self._source), name=model.name, daemon=True
        )
        with kept_from_children():
            self._process.start()
        remote.close()
        weakref.finalize(self, _end, self._process, self._connection)
        self._receive()

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Embeds audio, float32 [samples], to float32 [frames, dims]."""
        try:
            self._connection.send(np.asarray(audio, np.float32))
        except OSError:
            raise self._ended() from None
        return self._receive()

    def _receive(self) -> np.ndarray:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if isinstance(answer, CheckpointError):
            raise answer
        frames: np.ndarray = answer
        return frames

    def _ended(self) -> CheckpointError:
        self._process.join(_END_SECONDS)
        status = self._process.exitcode
        got = f"a process of TensorFlow that ended with status {status}"
        if status is not None and status < 0:
            got = f"a process of TensorFlow that was ended by {signal.Signals(-status).name}"
        return CheckpointError(self._source, f"{self.name} to answer", got)


def _serve(connection: Connection, model: HubModel, source: str) -> None:
    """Loads the model and embeds audio until the pipe ends; errors are sent, too."""
    # The parent decides what an interrupt ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        embed = _load(model, source)
        connection.send(np.zeros(0, np.float32))
    except CheckpointError as error:
        connection.send(error)
        return
    while True:
        try:
            audio = connection.recv()
        except EOFError:
            return
        try:
            answer: np.ndarray | CheckpointError = embed(audio)
        except Exception as error:  # another model can fail in any way, or return something else
            answer = CheckpointError(source, _wanted(model), str(error))
        connection.send(answer)


def _end(process: BaseProcess, connection: Connection) -> None:
    connection.close()
    process.join(_END_SECONDS)
    process.terminate()


def _check_source(model: HubModel, source: str) -> None:
    if not is_url(source) and not (Path(source) / "saved_model.pb").is_file():
        got = "a folder without saved_model.pb" if Path(source).is_dir() else "no such folder"
        raise CheckpointError(source, _wanted(model), got)


def _load(model: HubModel, source: str) -> Callable[[np.ndarray], np.ndarray]:
    try:
        import tensorflow as tf

        if is_url(source):
            import tensorflow_hub

            loaded = tensorflow_hub.load(source)
        else:
            loaded = tf.saved_model.load(source)
    except ImportError as error:
        raise CheckpointError(source, f"TensorFlow to run it ({_INSTALL})", str(error)) from error
    except Exception as error:  # downloads and damaged protocol buffers fail in many ways
        raise CheckpointError(source, _wanted(model), str(error)) from error
    return lambda audio: np.asarray(model.run(loaded, tf.constant(audio, tf.float32)), np.float32)


def is_url(source: str) -> bool:
    """Returns True if weights are named by an address instead of a file or folder."""
    return source.startswith(("http://", "https://"))


def _wanted(model: HubModel) -> str:
    return (
        f"the SavedModel of {model.name}, published at {model.url} (without it the columns "
        f"'{model.name} reconstruction' and '{model.name} FAD' stay empty)"
    )
