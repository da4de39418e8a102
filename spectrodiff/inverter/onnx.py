"""Inverters in ONNX files, the format of the released inverter."""

import functools
import logging
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spectrodiff.audio.features import check_log_mel
from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.runtime import num_cores
from spectrodiff.inverter.base import Audio, Inverter

logger = logging.getLogger(__name__)

CUDA = "CUDAExecutionProvider"
_INPUT = "input_features"
# Metadata in graphs exported here: `reach_frames` and `period_frames` of the inverter.
REACH_METADATA = "spectrodiff_context_frames"
PERIOD_METADATA = "spectrodiff_period_frames"
MAX_FILE_BYTES = 1 << 31  # limit of the format
# Largest value that is computed from constants once, and kept; by default 1 GiB.
MAX_CONSTANT_BYTES = 64 << 20
_CONSTANTS = "optimization.constant_folding_max_output_size_in_bytes"
_EXPECTED = (
    f"an ONNX graph from {_INPUT} (1, frames, {NUM_MELS}) to audio (1, frames * {HOP_SAMPLES})"
)


class OnnxInverter(Inverter):
    """Inverter in an ONNX graph from `input_features` (1, frames, 128) to samples.

    Args:
        path: .onnx file.
        device: "gpu" for CUDA, "cpu", or "auto" for CUDA if this onnxruntime supports it.

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

    @property
    def path(self) -> Path:
        """File of the graph."""
        return self._path

    @functools.cached_property
    def period_frames(self) -> int:
        """Number of frames after which the graph's oscillators repeat; 1 without metadata.

        Raises:
            CheckpointError: if the metadata are invalid.
        """
        return self._metadata(PERIOD_METADATA, 64) or 1

    @functools.cached_property
    def reach_frames(self) -> int:
        """Largest distance of frames that the audio of a frame depends on.

        Without metadata, it is measured by changing one frame.

        Raises:
            CheckpointError: if it is above 512, or the metadata are invalid.
        """
        if stored := self._metadata(REACH_METADATA, 512):
            return stored
        for reach in (32, 512):
            # Features of about the level of music, at which outputs do not saturate.
            random = np.random.default_rng(0)
            features = random.uniform(-8, 0, (2 * reach + 1, NUM_MELS))
            before = self(features)
            features[reach] = random.uniform(-8, 0, NUM_MELS)
            # Smaller differences, below a tenth of a step of 16-bit audio, are rounding.
            changed = np.flatnonzero(np.abs(self(features) - before) > 2e-6)
            found = int(np.abs(changed // HOP_SAMPLES - reach).max(initial=0))
            if found < reach:
                return found
        raise CheckpointError(
            self._path, "an inverter with a reach below 512 frames", "a longer reach"
        )

    def __call__(self, log_mel: np.ndarray) -> Audio:
        """Inverts unscaled log-mel [frames, 128] to frames * 320 samples.

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
            CheckpointError: if the graph fails or returns another number of samples.
        """
        log_mel = check_log_mel(log_mel)
        try:
            (audio,) = self._session.run(None, {_INPUT: log_mel[np.newaxis]})
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise CheckpointError(self._path, _EXPECTED, first_line(error)) from error
        if audio.size != len(log_mel) * HOP_SAMPLES:
            got = f"output of shape {audio.shape} from {len(log_mel)} frames"
            raise CheckpointError(self._path, _EXPECTED, got)
        return audio.reshape(-1).astype(np.float32, copy=False)

    def _metadata(self, name: str, most: int) -> int | None:
        """Returns a number from 1 to `most` in the graph's metadata; None without it."""
        text = self._session.get_modelmeta().custom_metadata_map.get(name)
        if text is None:
            return None
        # Python refuses to read numbers of thousands of digits.
        if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= most:
            expected = f"a number from 1 to {most} as {name}"
            raise CheckpointError(self._path, expected, repr(text))
        return int(text)


def open_session(path: Path, device: Literal["auto", "cpu", "gpu"] = "auto") -> Any:
    """Opens an ONNX graph; it uses all cores available to this process.

    A graph is a program, which can ask for any memory and time when it runs; only what is computed
    from constants while it is opened is limited. onnxruntime reads weights outside of the file from
    regular files in its folder, and no others.

    Raises:
        CheckpointError: if the file is missing, damaged, no regular file, or larger than 2 GiB.
    """
    import onnxruntime

    if not path.is_file():
        raise CheckpointError(path, "an ONNX file", "no such file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CheckpointError(path, "an ONNX file of at most 2 GiB", "a larger one")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_cores()
    # While a song streams, the next segment is computed on the same cores: waiting threads must not
    # spin, and memory must not be kept between calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry(_CONSTANTS, str(MAX_CONSTANT_BYTES))
    options.log_severity_level = 3  # errors only; warnings are about the export
    providers = ["CPUExecutionProvider"]
    if device != "cpu":
        if CUDA in onnxruntime.get_available_providers():
            # JAX installs CUDA as Python packages, which onnxruntime does not find by itself.
            onnxruntime.preload_dlls()
            providers.insert(0, CUDA)
        elif device == "gpu":
            logger.warning("%s runs on the CPU: this onnxruntime has no CUDA support", path)
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise CheckpointError(path, "a readable ONNX graph", first_line(error)) from error
    if CUDA in providers and CUDA not in session.get_providers():
        # A session whose provider cannot start falls back without an error.
        logger.warning(
            "%s runs on the CPU: onnxruntime-gpu %s could not use a GPU. It needs the CUDA version "
            "that it was built for: below 1.27 CUDA 12 (the extra cuda12), from 1.28 on CUDA 13 "
            "(the extra cuda13)",
            path,
            onnxruntime.__version__,
        )
    return session


def _takes_log_mel(node: Any) -> bool:
    # Dynamic sizes are None or a name.
    return (
        node.name == _INPUT
        and node.type == "tensor(float)"
        and len(node.shape) == 3
        and (node.shape[2] == NUM_MELS or not isinstance(node.shape[2], int))
    )
