"""Refusing audio that would turn into numbers that mean nothing."""

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE, SEGMENT_SECONDS
from spectrodiff.core.errors import AudioError


def check_audio(audio: np.ndarray, subject: str) -> np.ndarray:
    """Returns mono audio as float32 [samples].

    Raises:
        AudioError: if it is not a row of finite floating point samples, or there are none.
    """
    audio = np.asarray(audio)
    if audio.ndim != 1 or not np.issubdtype(audio.dtype, np.floating):
        got = f"{audio.dtype} of shape {audio.shape}"
        raise AudioError(subject, "mono floating point audio [samples]", got)
    if not len(audio):
        raise AudioError(subject, "at least one sample", "none")
    if not np.isfinite(audio).all():
        first = int(np.argmin(np.isfinite(audio)))
        raise AudioError(subject, "finite samples", f"NaN or infinity at sample {first}")
    return audio.astype(np.float32, copy=False)


def check_pair(
    prediction: np.ndarray,
    target: np.ndarray,
    subject: str,
    *,
    prediction_rate: int = SAMPLE_RATE,
    target_rate: int = SAMPLE_RATE,
    tolerance_seconds: float = SEGMENT_SECONDS,
) -> None:
    """Makes sure that two recordings can be of the same song.

    Args:
        prediction: rendered audio, float [samples].
        target: the recording it should sound like, float [samples].
        subject: the song, for error messages.
        prediction_rate: sample rate in Hz.
        target_rate: sample rate in Hz.
        tolerance_seconds: how much their lengths may differ; renderings are whole segments long.

    Raises:
        AudioError: if either cannot be used, or they differ in sample rate or in length.
    """
    check_audio(prediction, f"{subject}: prediction")
    check_audio(target, f"{subject}: target")
    if prediction_rate != target_rate:
        got = f"{prediction_rate} Hz of the prediction and {target_rate} Hz of the target"
        raise AudioError(subject, "one sample rate", got)
    seconds, target_seconds = len(prediction) / prediction_rate, len(target) / target_rate
    if abs(seconds - target_seconds) > tolerance_seconds:
        raise AudioError(
            subject,
            f"lengths that differ by at most {tolerance_seconds:g} s",
            f"{seconds:.2f} s of the prediction and {target_seconds:.2f} s of the target",
        )
