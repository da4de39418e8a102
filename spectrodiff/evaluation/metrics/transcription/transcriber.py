"""Interface of all transcribers: audio to notes."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from spectrodiff.music.notes import Notes

Report = Callable[[float], None]
"""Function that is told up to which second of the audio a transcriber has come."""


class Transcriber(Protocol):
    """Function from audio to the notes that it contains."""

    @property
    def name(self) -> str:
        """Name in reports."""
        ...

    @property
    def tells_programs(self) -> bool:
        """True if its notes have programs and drums; otherwise all have program 0."""
        ...

    def __call__(self, audio: np.ndarray, report: Report | None = None) -> Notes:
        """Transcribes mono audio.

        Args:
            audio: float32 [samples] at 16 kHz.
            report: is called after each batch; the last time with the length of the audio.

        Raises:
            AudioError: if the audio is not mono or empty, or holds NaN.
        """
        ...
