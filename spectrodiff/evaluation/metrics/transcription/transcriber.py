"""Interface of all transcribers: audio to notes."""

from typing import Protocol

import numpy as np

from spectrodiff.music.notes import Notes


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

    def __call__(self, audio: np.ndarray) -> Notes:
        """Transcribes mono audio, float32 [samples] at 16 kHz.

        Raises:
            AudioError: if the audio is not mono or empty, or holds NaN.
        """
        ...
