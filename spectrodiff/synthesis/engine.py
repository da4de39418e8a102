"""The engine of songs that are rendered segment by segment while they are steered."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Self

import jax
import numpy as np

from spectrodiff.audio.features import unscale
from spectrodiff.core.config import require
from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.inverter import Inverter
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.music.vocabulary import END_ID
from spectrodiff.synthesis.parts import PartStream
from spectrodiff.synthesis.segments.model import SegmentModel, overlap_of
from spectrodiff.synthesis.songs import NextSegment, generate_segments, newest


@dataclasses.dataclass(frozen=True)
class Engine:
    """A model with its settings, as songs need it that are rendered segment by segment.

    Attributes:
        name: of the model, for messages.
        config: sizes of the network.
        tokenization: of notes.
        sampling: the model's own sampling settings.
        inverter: turns features into audio.
        segments: returns the generator of segments for sampling settings.
    """

    name: str
    config: ModelConfig
    tokenization: Tokenization
    sampling: Sampling
    inverter: Inverter
    segments: Callable[[Sampling], SegmentModel]

    def hop_frames(self, sampling: Sampling) -> int:
        """Returns the number of frames that a segment adds to a song.

        Raises:
            ConfigError: if segments cannot overlap as `sampling` says.
        """
        return self.config.target_frames - overlap_of(sampling, self.config)

    def check_overlap(self, changed: Sampling, before: Sampling) -> None:
        """Checks that the segments of a song stay where they are if its settings are changed.

        Raises:
            ConfigError: if their overlap is changed.
        """
        same = self.hop_frames(changed) == self.hop_frames(before)
        require(same, "overlap", f"{before.overlap}, as in the song", changed.overlap)

    def segment_seconds(self, sampling: Sampling) -> float:
        """Returns the length of what a segment adds; see `hop_frames`."""
        return self.hop_frames(sampling) / FRAMES_PER_SECOND

    def latency_seconds(self, sampling: Sampling) -> float:
        """Returns the time from a note that is played live to its sound, without computing.

        Its segment has to end, and the inverter has to know the frames after it.
        """
        reach_seconds = self.inverter.reach_frames / FRAMES_PER_SECOND
        return self.segment_seconds(sampling) + reach_seconds

    def warm_up(self) -> Iterator[int]:
        """Compiles everything that songs need with the model's own sampling settings.

        Yields:
            Each length of tokens for which all is compiled.
        """
        model = self.segments(self.sampling)
        for bucket in sorted({*model.tuning.note_buckets, self.config.note_tokens}):
            if bucket <= self.config.note_tokens:
                tokens = np.zeros(self.config.note_tokens, np.int32)
                tokens[:bucket] = END_ID
                song = Continuation(self, model.overlap)
                for _ in range(2):  # without and with a context
                    song.parts.push(song.generate(model, tokens, jax.random.key(0)))
                song.parts.finish()
                yield bucket


def check_seed(seed: object) -> int:
    """Returns a seed of the randomness.

    Raises:
        ConfigError: if it is no whole number of 64 bits.
    """
    whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if not (whole and -(2**63) <= seed < 2**63):  # type: ignore[operator]
        raise ConfigError("seed", "a whole number of 64 bits", repr(seed)[:80])
    return int(seed)  # type: ignore[call-overload]


class Continuation:
    """A song up to the segment that comes next.

    Args:
        engine: the model.
        overlap: number of frames that its segments share.

    Attributes:
        number: index of the next segment.
        parts: audio of the segments.
    """

    def __init__(self, engine: Engine, overlap: int) -> None:
        self.number = 0
        self.parts = PartStream(engine.inverter, overlap)
        self._past: np.ndarray = np.zeros((0, engine.config.mel_bins), np.float32)

    def generate(
        self,
        model: SegmentModel,
        tokens: np.ndarray,
        song_key: jax.Array,
        on_steps: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Generates the next segment, with the frames before it as context.

        Args:
            model: generates segments, on one device.
            tokens: of the segment, int32 [N].
            song_key: random key of the song.
            on_steps: passed on to the model; may raise an error, which leaves this as it was.

        Returns:
            Unscaled log-mel float32 of the frames that the segment adds, [F - O, 128].
        """
        segment = NextSegment(tokens, self._past, song_key, self.number)
        (added,) = generate_segments(model, [segment], on_steps)
        self.number += 1
        self._past = newest(model, self._past, added)
        return unscale(added)

    def copy(self) -> Self:
        """Returns the same song up to here, which continues on its own."""
        other = copy.copy(self)
        other.parts = self.parts.copy()
        return other


def check_batch_size(batch_size: int) -> int:
    """Returns a number of songs that are rendered side by side.

    Raises:
        ConfigError: if it is not a whole number above 0.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ConfigError("batch_size", "a whole number >= 1", repr(batch_size))
    return int(batch_size)
