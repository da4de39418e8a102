"""Interface of all inverters."""

import abc
from typing import Any

import numpy as np
from jaxtyping import Float32

from spectrodiff.core.constants import HOP_SAMPLES

Audio = Float32[np.ndarray, " samples"]


class Inverter(abc.ABC):
    """Converts log-mel features to audio.

    Subclasses define `name`, `reach_frames` and `__call__`. The other members have defaults that
    are right if the audio of a frame depends on nearby features only, in the same way everywhere.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name in reports."""

    @property
    @abc.abstractmethod
    def reach_frames(self) -> int:
        """Largest distance of frames, on either side, that the audio of a frame depends on.

        With these frames around it, a part of a song can be inverted separately.
        """

    @property
    def period_frames(self) -> int:
        """Parts that are inverted separately start at multiples of this number of frames."""
        return 1

    @property
    def needs_phases(self) -> bool:
        """True if tones gain from the phases of notes, where these are known; see `ScorePhases`."""
        return False

    @abc.abstractmethod
    def __call__(self, log_mel: np.ndarray) -> Audio:
        """Inverts a spectrogram.

        Args:
            log_mel: unscaled log-mel [frames, 128].

        Returns:
            float32 [frames * 320] at 16 kHz, nominally in [-1, 1].

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """

    def continued(
        self, log_mel: np.ndarray, state: Any, first: int, until: int
    ) -> tuple[Audio, Any]:
        """Inverts one part of a song after another.

        Args:
            log_mel: unscaled log-mel [frames, 128] of the part and of `reach_frames` on both sides
                of it, fewer at the ends of the song.
            state: state that was returned for the part before; None at the start of the song.
            first: index of the first frame of the part in `log_mel`.
            until: index after its last frame.

        Returns:
            (until - first) * 320 samples, and the state for the next part, a tree of arrays.

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """
        return self(log_mel)[first * HOP_SAMPLES : until * HOP_SAMPLES], None
