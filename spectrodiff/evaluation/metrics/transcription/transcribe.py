"""Transcription of audio files."""

import dataclasses
import importlib.util
import os

from spectrodiff.audio.files import read_audio
from spectrodiff.audio.samples import SILENT_PEAK, peak_of
from spectrodiff.checkpoints.layouts.mt3 import PUBLISHED
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.evaluation.metrics.transcription.basic_pitch import INSTALL, BasicPitch
from spectrodiff.evaluation.metrics.transcription.mt3 import load_mt3
from spectrodiff.evaluation.metrics.transcription.transcriber import Report, Transcriber
from spectrodiff.music.notes import Notes

BASIC_PITCH = "basic_pitch"


def open_transcriber(
    source: str | os.PathLike[str] | None = None, *, batch_size: int | None = None
) -> Transcriber:
    """Opens basic-pitch or MT3.

    Args:
        source: "basic_pitch", or the folder of MT3's published T5X checkpoint; None for
            basic-pitch if it is installed.
        batch_size: number of segments that MT3 decodes together; None for one that suits the
            device.

    Returns:
        A transcriber, for `transcribe`.

    Raises:
        CheckpointError: if the package or the weights are missing or damaged.
        ConfigError: if `batch_size` is below 1, or given for basic-pitch.
    """
    if source is None:
        if importlib.util.find_spec("basic_pitch") is None:
            expected = f"{INSTALL}, or the folder of MT3's weights, published at {PUBLISHED}"
            raise CheckpointError("transcriber", expected, "neither")
        source = BASIC_PITCH
    if source != BASIC_PITCH:
        return load_mt3(source, batch_size=batch_size)
    if batch_size is not None:
        raise ConfigError("batch_size", "MT3, which has one", "basic-pitch")
    return BasicPitch()


def transcribe(
    path: str | os.PathLike[str], transcriber: Transcriber, report: Report | None = None
) -> Notes:
    """Transcribes an audio file of any format, rate and number of channels.

    Args:
        path: the file; its channels are averaged.
        transcriber: basic-pitch or MT3, see `open_transcriber`.
        report: is called with the seconds of audio that have been transcribed.

    Returns:
        The notes; `total_seconds` is the length of the audio. There are none in silent audio,
        which the transcriber does not get, and `remarks` says so.

    Raises:
        AudioError: if the file cannot be read.
    """
    audio = read_audio(path, SAMPLE_RATE)
    seconds = len(audio) / SAMPLE_RATE
    if peak_of(audio) <= SILENT_PEAK:
        return dataclasses.replace(Notes.empty(seconds), remarks=("the audio is silent",))
    notes = transcriber(audio, report)
    return dataclasses.replace(notes, total_seconds=max(seconds, notes.total_seconds))
