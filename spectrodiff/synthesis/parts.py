"""Parts of a song: audio as early as the inverter can compute it, with the frames it belongs to."""

import copy
import dataclasses
from typing import Self

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS, SAMPLE_RATE
from spectrodiff.inverter import InversionStream, Inverter
from spectrodiff.music.notes import Notes
from spectrodiff.synthesis.segments.joins import Joins


@dataclasses.dataclass(frozen=True, eq=False)
class Song:
    """A rendered song, or a part of one.

    Attributes:
        audio: float32 [samples] in [-1, 1].
        sample_rate: sample rate in Hz, 16000.
        log_mel: features that the audio was inverted from, float32 [frames, 128], unscaled.
    """

    audio: np.ndarray
    sample_rate: int
    log_mel: np.ndarray


class PartStream:
    """Turns the frames of a song, segment after segment, into parts.

    Audio lags behind the frames by the inverter's reach. Joined, the parts are what one inversion
    of the whole song gives.

    Args:
        inverter: turns features into audio.
        overlap: number of frames that segments share (see `Joins`).

    Attributes:
        samples: number of samples in all parts so far.
    """

    def __init__(self, inverter: Inverter, overlap: int) -> None:
        self.samples = 0
        self._joins = Joins(overlap)
        self._inversion = InversionStream(inverter)
        self._log_mel = np.zeros((0, NUM_MELS), np.float32)  # frames whose audio is not known yet

    def push(
        self, log_mel: np.ndarray, notes: Notes | None = None, *, origin_frame: int = 0
    ) -> Song:
        """Takes the next segment and returns the part that is ready.

        Args:
            log_mel: unscaled [frames, 128].
            notes: the notes that sound in these frames, as `InversionStream.push` takes them.
            origin_frame: frame of the song that is the time 0 of the notes.
        """
        log_mel = self._joins.add(log_mel, notes, origin_frame=origin_frame)
        self._log_mel = np.concatenate([self._log_mel, log_mel])
        audio = self._inversion.push(log_mel, notes, origin_frame=origin_frame)
        return self._part(audio)

    def finish(
        self,
        log_mel: np.ndarray | None = None,
        notes: Notes | None = None,
        num_samples: int | None = None,
    ) -> Song:
        """Takes the last segment, if one is left, and returns the rest of the song.

        Args:
            log_mel: unscaled [frames, 128].
            notes: as in `push`.
            num_samples: length of the song, which may end within its last frame.
        """
        parts = [] if log_mel is None else [self.push(log_mel, notes)]
        part = _joined([*parts, self._part(self._inversion.finish())])
        excess = 0 if num_samples is None else max(self.samples - num_samples, 0)
        self.samples -= excess
        return dataclasses.replace(part, audio=part.audio[: len(part.audio) - excess])

    def copy(self) -> Self:
        """Returns a stream in the same state that continues on its own."""
        other = copy.copy(self)
        other._joins, other._inversion = self._joins.copy(), self._inversion.copy()
        return other

    def _part(self, audio: np.ndarray) -> Song:
        complete = len(audio) // HOP_SAMPLES
        log_mel, self._log_mel = self._log_mel[:complete], self._log_mel[complete:]
        self.samples += len(audio)
        return Song(audio, SAMPLE_RATE, log_mel)


def _joined(parts: list[Song]) -> Song:
    audio = np.concatenate([part.audio for part in parts])
    log_mel = np.concatenate([part.log_mel for part in parts])
    return Song(audio, parts[0].sample_rate, log_mel)
