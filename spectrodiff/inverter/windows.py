"""Inverting a spectrogram piece by piece: one that is long, or one that is still growing.

Neighbouring pieces overlap by the inverter's context, and only frames that saw all of it are kept.
A recurrent inverter, in which a frame depends on all frames before it, also goes on from its state.
Joins therefore leave no trace: what comes out is what one pass over the song would give.
"""

from typing import Any

import numpy as np

from spectrodiff.audio.features import check_log_mel
from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS
from spectrodiff.inverter.base import Inverter

MAX_FRAMES = 1024  # 20 s


def invert(inverter: Inverter, log_mel: np.ndarray, max_frames: int = MAX_FRAMES) -> np.ndarray:
    """Inverts a spectrogram of any length in bounded memory.

    Args:
        inverter: what turns frames into audio.
        log_mel: unscaled [frames, 128].
        max_frames: how many frames the inverter gets at a time, their context on both sides
            included; at least one more than that context is always used.

    Returns:
        float32 [frames * 320].

    Raises:
        AudioError: if there are no frames, another number of bins, or NaN.
    """
    log_mel = check_log_mel(log_mel)
    if len(log_mel) <= max_frames:
        return inverter(log_mel)
    stream = InversionStream(inverter)
    spare = 2 * inverter.context_frames + _period_frames(inverter) - 1
    step = max(max_frames - spare, 1)
    pieces = [stream.push(log_mel[start : start + step]) for start in range(0, len(log_mel), step)]
    return np.concatenate([*pieces, stream.finish()])


class InversionStream:
    """Inverts a spectrogram whose frames arrive a few at a time, each as early as it can be.

    Audio lags behind the frames by the inverter's context, so that every sample is computed once,
    from all the frames it depends on.
    """

    def __init__(self, inverter: Inverter) -> None:
        self._inverter = inverter
        # Frames not inverted yet, after those already inverted that they still need before them.
        self._frames = np.zeros((0, NUM_MELS), np.float32)
        self._num_inverted = 0
        self._state: Any = None  # of a recurrent inverter

    def push(self, log_mel: np.ndarray) -> np.ndarray:
        """Takes the next frames, unscaled [frames, 128], and returns the audio that is ready.

        Returns:
            float32 [ready frames * 320]; empty while the context after them is still missing.

        Raises:
            AudioError: if there are no frames, another number of bins, or NaN.
        """
        self._frames = np.concatenate([self._frames, check_log_mel(log_mel)])
        return self._invert_until(len(self._frames) - self._inverter.context_frames)

    def finish(self) -> np.ndarray:
        """Returns the audio of the frames held back, now that nothing follows them."""
        return self._invert_until(len(self._frames))

    def _invert_until(self, stop: int) -> np.ndarray:
        start = self._num_inverted
        if stop <= start:
            return np.zeros(0, np.float32)
        if getattr(self._inverter, "recurrent", False):
            recurrent: Any = self._inverter
            audio, self._state = recurrent.continued(self._frames, self._state, start, stop)
        else:
            audio = self._inverter(self._frames)[start * HOP_SAMPLES : stop * HOP_SAMPLES]
        first_needed = max(stop - self._inverter.context_frames, 0)
        first_needed -= first_needed % _period_frames(self._inverter)
        self._frames = self._frames[first_needed:]
        self._num_inverted = stop - first_needed
        return audio


def _period_frames(inverter: Inverter) -> int:
    """At what distance pieces have to begin to be inverted as the whole would be; most often 1."""
    period: int = getattr(inverter, "period_frames", 1)
    return period
