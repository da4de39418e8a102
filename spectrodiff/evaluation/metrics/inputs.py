"""Validation of audio before scoring."""

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE, SEGMENT_SECONDS
from spectrodiff.core.errors import AudioError


def check_audio(audio: np.ndarray, subject: str) -> np.ndarray:
    """Returns mono audio as float32 [samples].

    Raises:
        AudioError: unless it is a non-empty vector of finite floating point samples.
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


def check_pair(prediction: np.ndarray, target: np.ndarray, subject: str) -> None:
    """Checks that rendered audio can be compared with a recording.

    Lengths may differ by one segment, since renderings are whole segments long.

    Args:
        prediction: rendered audio, float [samples] at 16 kHz.
        target: recording of the same song, float [samples] at 16 kHz.
        subject: name of the song, for error messages.

    Raises:
        AudioError: if one of them is not usable or their lengths differ by more than a segment.
    """
    check_audio(prediction, f"{subject}: prediction")
    check_audio(target, f"{subject}: target")
    seconds, target_seconds = len(prediction) / SAMPLE_RATE, len(target) / SAMPLE_RATE
    if abs(seconds - target_seconds) > SEGMENT_SECONDS:
        raise AudioError(
            subject,
            f"lengths that differ by at most {SEGMENT_SECONDS:g} s",
            f"{seconds:.2f} s of the prediction and {target_seconds:.2f} s of the target",
        )
