"""A trained inverter in an ONNX file, the form in which the released one comes."""

import functools
import logging
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spectrodiff.audio.features import check_log_mel
from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS
from spectrodiff.core.errors import CheckpointError

logger = logging.getLogger(__name__)

_INPUT = "input_features"
# What graphs that were exported here say about themselves (see `Inverter`).
CONTEXT_METADATA = "spectrodiff_context_frames"
PERIOD_METADATA = "spectrodiff_period_frames"
_EXPECTED = (
    f"an ONNX graph from {_INPUT} (1, frames, {NUM_MELS}) to audio (1, frames * {HOP_SAMPLES})"
)


class OnnxInverter:
    """Runs an inverter stored as an ONNX graph: `input_features` (1, frames, 128) to samples.

    Args:
        path: the .onnx file.
        device: "gpu" for CUDA, "cpu", or "auto" for CUDA where this onnxruntime has it.

    Raises:
        CheckpointError: if the file is missing, damaged, or a graph with another interface.
    """

    name = "onnx"

    def __init__(
        self, path: str | os.PathLike[str], device: Literal["auto", "cpu", "gpu"] = "auto"
    ) -> None:
        self._path = Path(path)
        self._session = open_session(self._path, device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or not _takes_log_mel(inputs[0]):
            found = ", ".join(f"{node.name} {node.shape} {node.type}" for node in inputs)
            raise CheckpointError(
                self._path, _EXPECTED, f"one from {found} with {len(outputs)} outputs"
            )

    @functools.cached_property
    def period_frames(self) -> int:
        """After how many frames the graph does as before; 1 if it does not say.

        Raises:
            CheckpointError: if what it says is no such number.
        """
        return self._said(PERIOD_METADATA, 64) or 1

    @functools.cached_property
    def context_frames(self) -> int:
        """How far a frame is heard; measured, by changing one, if the graph does not say it.

        Raises:
            CheckpointError: if it is heard more than 512 frames away, or says so.
        """
        if said := self._said(CONTEXT_METADATA, 512):
            return said
        for reach in (32, 512):
            # About as loud as music, for outputs are insensitive where they saturate.
            random = np.random.default_rng(0)
            features = random.uniform(-8, 0, (2 * reach + 1, NUM_MELS))
            before = self(features)
            features[reach] = random.uniform(-8, 0, NUM_MELS)
            # Less than a tenth of the smallest step in 16-bit audio is rounding.
            changed = np.flatnonzero(np.abs(self(features) - before) > 2e-6)
            context = int(np.abs(changed // HOP_SAMPLES - reach).max(initial=0))
            if context < reach:
                return context
        raise CheckpointError(
            self._path, "an inverter that listens to nearby frames", "one that listens to all"
        )

    def __call__(self, log_mel: np.ndarray) -> np.ndarray:
        """Inverts unscaled log-mel [frames, 128] to float32 [frames * 320].

        Raises:
            AudioError: if there are no frames, another number of bins, or NaN.
            CheckpointError: if the graph fails or returns another number of samples.
        """
        log_mel = check_log_mel(log_mel)
        try:
            (audio,) = self._session.run(None, {_INPUT: log_mel[np.newaxis]})
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise CheckpointError(self._path, _EXPECTED, _first_line(error)) from error
        if audio.size != len(log_mel) * HOP_SAMPLES:
            got = f"output of shape {audio.shape} from {len(log_mel)} frames"
            raise CheckpointError(self._path, _EXPECTED, got)
        return audio.reshape(-1).astype(np.float32, copy=False)

    def _said(self, name: str, most: int) -> int | None:
        """A number that the graph says about itself, from 1 on; None if it does not."""
        text = self._session.get_modelmeta().custom_metadata_map.get(name)
        if text is None:
            return None
        # Python refuses to read numbers of thousands of digits.
        if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= most:
            expected = f"a number from 1 to {most} as {name}"
            raise CheckpointError(self._path, expected, repr(text))
        return int(text)


def open_session(path: Path, device: Literal["auto", "cpu", "gpu"] = "auto") -> Any:
    """Opens an ONNX graph for all the cores this process may use.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    import onnxruntime

    if not path.is_file():
        raise CheckpointError(path, "an ONNX file", "no such file")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _num_cores()
    # While a song streams, the next segment is computed on the same cores: threads that wait for
    # work must not spin, and memory must not be kept between calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3  # errors; the rest is about how graphs were exported
    providers = ["CPUExecutionProvider"]
    if device != "cpu":
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            # JAX brings CUDA along in Python packages, where onnxruntime does not look by itself.
            onnxruntime.preload_dlls()
            providers.insert(0, "CUDAExecutionProvider")
        elif device == "gpu":
            logger.warning("%s runs on the CPU: this onnxruntime is without CUDA", path)
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise CheckpointError(path, "a readable ONNX graph", _first_line(error)) from error


def _takes_log_mel(node: Any) -> bool:
    # Sizes left open are None or a name.
    return (
        node.name == _INPUT
        and node.type == "tensor(float)"
        and len(node.shape) == 3
        and (node.shape[2] == NUM_MELS or not isinstance(node.shape[2], int))
    )


def _num_cores() -> int:
    # A container or a batch system may allow fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
