"""Adapter for basic-pitch (Bittner et al., ICASSP 2022, arXiv:2203.09893), a small transcriber.

An alternative if the weights of MT3 are not available. It recognizes neither instruments nor drums,
so only pitches and onsets of notes that are not drums are scored; its scores cannot be compared
with those of MT3.

The package contains the model as an ONNX file, which is run here. The old TensorFlow that it
requires is not needed: `pip install resampy`, then `pip install --no-deps basic-pitch`.
"""

import contextlib
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.inputs import check_audio
from spectrodiff.evaluation.metrics.transcription.note_search import (
    FoundNote,
    notes_without_onsets,
)
from spectrodiff.evaluation.metrics.transcription.transcriber import Report
from spectrodiff.inverter.onnx import open_session
from spectrodiff.music.notes import Notes

_MODEL = "saved_models/icassp_2022/nmp.onnx"
INSTALL = "basic-pitch and resampy (pip install resampy && pip install --no-deps basic-pitch)"
"""Phrase for what has to be installed, for error messages."""

_INPUT = "serving_default_input_2:0"
_FRAMES, _ONSETS = "StatefulPartitionedCall:1", "StatefulPartitionedCall:2"

# Input format of the model, and the windows into which its authors cut longer audio.
_MODEL_RATE = 22_050  # Hz
_HOP_SAMPLES = 256
_FRAMES_PER_SECOND = _MODEL_RATE // _HOP_SAMPLES
_WINDOW_SAMPLES = 2 * _MODEL_RATE - _HOP_SAMPLES
_OVERLAP_FRAMES = 30
_BATCH_WINDOWS = 8

# Defaults of the package.
_ONSET_THRESHOLD = 0.5
_FRAME_THRESHOLD = 0.3
_MIN_NOTE_FRAMES = 11  # 127.7 ms
_TOLERANCE_FRAMES = 11


class BasicPitch:
    """Transcriber of pitches and times; all notes have program 0 and are not drums.

    The velocity of a note is 127 times the mean probability that its pitch is active.

    Raises:
        CheckpointError: if the package or its model is missing.
    """

    name = "basic-pitch"
    tells_programs = False

    def __init__(self) -> None:
        self._note_creation = _import_note_creation()
        self._session = open_session(_package_folder() / _MODEL)

    def __call__(self, audio: np.ndarray, report: Report | None = None) -> Notes:
        """Transcribes mono audio.

        Args:
            audio: float32 [samples] at 16 kHz.
            report: is called after each batch of windows.

        Raises:
            AudioError: if the audio is not mono or empty, or holds NaN.
        """
        import librosa

        audio = check_audio(audio, "audio to transcribe")
        resampled = librosa.resample(audio, orig_sr=SAMPLE_RATE, target_sr=_MODEL_RATE)
        frames, onsets = self.activations(resampled, report)
        notes = self._find_notes(frames, onsets) if len(frames) > _MIN_NOTE_FRAMES else []
        seconds = self._note_creation.model_frames_to_time(len(frames))
        first, last, pitch, loudness = np.array(notes, np.float64).reshape(-1, 4).T
        return Notes(
            onset_seconds=np.maximum(seconds[first.astype(int)], 0),
            offset_seconds=np.maximum(seconds[last.astype(int)], 0),
            pitch=pitch.astype(np.int32),
            velocity=np.clip(np.round(127 * loudness), 1, 127).astype(np.int32),
            program=np.zeros(len(pitch), np.int32),
            is_drum=np.zeros(len(pitch), np.bool_),
        )

    def activations(
        self, audio: np.ndarray, report: Report | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the probabilities that pitches are active, and that they begin, in each frame.

        Windows overlap; frames near their edges are dropped, as in the package.

        Args:
            audio: float32 [samples] at 22.05 kHz.
            report: is called after each batch of windows.

        Returns:
            Two arrays float32 [frames, 88], for active pitches and for onsets.
        """
        margin = _OVERLAP_FRAMES // 2
        hop = _WINDOW_SAMPLES - _OVERLAP_FRAMES * _HOP_SAMPLES
        num_windows = -(-(len(audio) + margin * _HOP_SAMPLES) // hop)
        length = (num_windows - 1) * hop + _WINDOW_SAMPLES
        before = margin * _HOP_SAMPLES
        padded = np.pad(audio, (before, length - before - len(audio)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW_SAMPLES)[::hop]
        outputs: list[list[np.ndarray]] = []
        for first in range(0, num_windows, _BATCH_WINDOWS):
            batch = windows[first : first + _BATCH_WINDOWS, :, np.newaxis]
            outputs.append(self._session.run([_FRAMES, _ONSETS], {_INPUT: batch}))
            if report:
                report(min((first + len(batch)) * hop, len(audio)) / _MODEL_RATE)
        num_frames = len(audio) * _FRAMES_PER_SECOND // _MODEL_RATE
        frames, onsets = (
            np.concatenate(output)[:, margin:-margin].reshape(-1, output[0].shape[-1])[:num_frames]
            for output in zip(*outputs, strict=True)
        )
        return frames, onsets

    def _find_notes(self, frames: np.ndarray, onsets: np.ndarray) -> list[FoundNote]:
        with np.errstate(invalid="ignore"):  # silence gives 0 / 0
            notes: list[FoundNote] = self._note_creation.output_to_notes_polyphonic(
                frames,
                onsets,
                onset_thresh=_ONSET_THRESHOLD,
                frame_thresh=_FRAME_THRESHOLD,
                min_note_len=_MIN_NOTE_FRAMES,
                infer_onsets=True,
                min_freq=None,
                max_freq=None,
                melodia_trick=False,
                energy_tol=_TOLERANCE_FRAMES,
            )
        return notes + notes_without_onsets(
            frames,
            notes,
            threshold=_FRAME_THRESHOLD,
            min_frames=_MIN_NOTE_FRAMES,
            tolerance_frames=_TOLERANCE_FRAMES,
        )


def _package_folder() -> Path:
    spec = importlib.util.find_spec("basic_pitch")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError("basic-pitch", INSTALL, "no such package")
    return Path(spec.submodule_search_locations[0])


def _import_note_creation() -> ModuleType:
    _package_folder()
    try:
        with _quiet_root_logger():
            return importlib.import_module("basic_pitch.note_creation")
    except ImportError as error:
        raise CheckpointError("basic-pitch", INSTALL, str(error)) from error


@contextlib.contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Silences the package, which warns at import about each runtime that is not installed."""
    # Without a handler, the first warning would add a permanent one to the root logger.
    handler, level = logging.NullHandler(), logging.root.manager.disable
    logging.root.addHandler(handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
        logging.root.removeHandler(handler)
