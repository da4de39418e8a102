"""Inversion of a spectrogram part by part, for long songs and for songs still being generated.

Neighboring parts overlap by the inverter's reach, and only frames whose whole reach is known are
kept; a recurrent inverter also continues from its state. The result equals that of one pass over
the song.
"""

from typing import Any

import numpy as np

from spectrodiff.audio.features import check_log_mel
from spectrodiff.core.constants import NUM_MELS
from spectrodiff.inverter.base import Audio, Inverter

MAX_FRAMES = 1024  # 20 s


def invert(inverter: Inverter, log_mel: np.ndarray, max_frames: int = MAX_FRAMES) -> Audio:
    """Inverts a spectrogram of any length in bounded memory.

    Args:
        inverter: turns features into audio.
        log_mel: unscaled [frames, 128].
        max_frames: maximum number of frames per call of the inverter, its reach on both sides
            included; at least one more than that reach is always used.

    Returns:
        float32 [frames * 320] at 16 kHz, nominally in [-1, 1].

    Raises:
        AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
    """
    log_mel = check_log_mel(log_mel)
    if len(log_mel) <= max_frames:
        return inverter(log_mel)
    stream = InversionStream(inverter)
    spare = 2 * inverter.reach_frames + inverter.period_frames - 1
    step = max(max_frames - spare, 1)
    parts = [stream.push(log_mel[start : start + step]) for start in range(0, len(log_mel), step)]
    return np.concatenate([*parts, stream.finish()])


class InversionStream:
    """Inverts a spectrogram whose frames arrive in parts, each frame as early as possible.

    Audio lags behind the frames by the inverter's reach, so that every sample is computed once,
    from all frames it depends on.
    """

    def __init__(self, inverter: Inverter) -> None:
        self._inverter = inverter
        # Frames that are not inverted yet, and the inverted ones within their reach.
        self._frames = np.zeros((0, NUM_MELS), np.float32)
        self._num_inverted = 0
        self._state: Any = None

    def push(self, log_mel: np.ndarray) -> Audio:
        """Takes the next frames, unscaled [frames, 128], and returns the audio that is ready.

        Returns:
            320 samples per ready frame; none while the frames within its reach are missing.

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """
        self._frames = np.concatenate([self._frames, check_log_mel(log_mel)])
        return self._invert_until(len(self._frames) - self._inverter.reach_frames)

    def finish(self) -> Audio:
        """Returns the audio of the remaining frames at the end of the song."""
        return self._invert_until(len(self._frames))

    def _invert_until(self, stop: int) -> Audio:
        start = self._num_inverted
        if stop <= start:
            return np.zeros(0, np.float32)
        audio, self._state = self._inverter.continued(self._frames, self._state, start, stop)
        first_needed = max(stop - self._inverter.reach_frames, 0)
        first_needed -= first_needed % self._inverter.period_frames
        self._frames = self._frames[first_needed:]
        self._num_inverted = stop - first_needed
        return audio
