"""What every spectrogram inverter offers."""

from typing import Protocol

import numpy as np


class Inverter(Protocol):
    """Turns a log-mel spectrogram into audio."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    @property
    def context_frames(self) -> int:
        """How many neighbouring frames on each side change the audio of a frame.

        With these around them, frames can be inverted apart from the rest of the song.
        """
        ...

    # An inverter that does not treat all frames alike also has `period_frames`, the number of
    # frames after which it does; pieces that are inverted apart begin a multiple of it apart.
    # One that is `recurrent`, in which a frame depends on all frames before it, has `continued`, as
    # `TrainedInverter` has; its context is what is needed besides the state.

    def __call__(self, log_mel: np.ndarray) -> np.ndarray:
        """Inverts unscaled log-mel [frames, 128] to float32 [frames * 320] at 16 kHz.

        Raises:
            AudioError: if there are no frames, another number of bins, or NaN.
        """
        ...
