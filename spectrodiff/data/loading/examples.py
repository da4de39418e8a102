"""Training examples: short chunks of a recording with the tokens of what is played in them.

Axis letters: C context frames, F target frames.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np

from spectrodiff.audio.features import cut_segment
from spectrodiff.core.constants import SEGMENT_FRAMES
from spectrodiff.core.errors import ConfigError
from spectrodiff.data.recordings import Recording
from spectrodiff.music.events import MAX_TOKENS, SegmentTokens
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization

OverflowPolicy = Literal["skip", "truncate"]

# How many chunks with too many notes are skipped in a row; a recording may have no others.
_MAX_SKIPPED = 20


@dataclasses.dataclass(frozen=True)
class Chunking:
    """How chunks are cut and what their tokens say; the defaults are those of the paper.

    Attributes:
        context_frames: C, frames before the target; 0 for a network without context.
        target_frames: F, frames to be synthesised.
        max_tokens: how many note tokens there is room for.
        tokenization: how notes become tokens.
        overflow: what to do with a chunk of too many notes: "skip" draws another one from the same
            recording, "truncate" leaves out the last notes.
    """

    context_frames: int = SEGMENT_FRAMES
    target_frames: int = SEGMENT_FRAMES
    max_tokens: int = MAX_TOKENS
    tokenization: Tokenization = RELEASED_TOKENIZATION
    overflow: OverflowPolicy = "skip"

    def __post_init__(self) -> None:
        for name, minimum in (("context_frames", 0), ("target_frames", 1), ("max_tokens", 2)):
            value = getattr(self, name)
            if type(value) is not int or value < minimum:
                raise ConfigError(f"Chunking.{name}", f"a whole number >= {minimum}", repr(value))
        if self.overflow not in get_args(OverflowPolicy):
            expected = f"one of {', '.join(get_args(OverflowPolicy))}"
            raise ConfigError("Chunking.overflow", expected, repr(self.overflow))


@dataclasses.dataclass(frozen=True, eq=False)
class Chunk:
    """An example, not padded yet.

    Attributes:
        tokens: int32 [n], what is played in the target frames.
        audio: int16 [(C + F + 16) * 320], context, target, and what comes after them; zeros outside
            the recording.
        context_frames: how many of the context frames, the last ones, lie inside the recording.
        skipped: how many chunks with too many notes were drawn before this one.
        truncated: whether notes had to be left out.
    """

    tokens: np.ndarray
    audio: np.ndarray
    context_frames: int
    skipped: int = 0
    truncated: bool = False


class Cutter:
    """Cuts chunks out of one recording, whose notes are put in order once.

    Args:
        recording: audio and notes.
        chunking: how.
    """

    def __init__(self, recording: Recording, chunking: Chunking) -> None:
        self._audio, self._chunking = recording.audio, chunking
        self._events = chunking.tokenization.index(recording.notes)

    @property
    def num_frames(self) -> int:
        """How many frames the recording has."""
        return self._events.num_frames

    def cut(self, target_frame: int) -> Chunk:
        """The chunk whose target begins at a frame, with notes left out if there are too many."""
        context, target = self._chunking.context_frames, self._chunking.target_frames
        segment = self.tokens(target_frame)
        return Chunk(
            tokens=segment.tokens,
            audio=cut_segment(self._audio, target_frame - context, context + target),
            context_frames=min(target_frame, context),
            truncated=segment.left_out_events > 0,
        )

    def tokens(self, target_frame: int) -> SegmentTokens:
        """The tokens of the segment that begins at a frame, without its sound."""
        settings = self._chunking
        return self._events.segment(target_frame, settings.max_tokens, settings.target_frames)

    def draw(self, rng: np.random.Generator) -> Chunk:
        """A chunk from anywhere: its target starts at any frame but the last, all alike likely.

        So near the recording's start there are fewer context frames, down to none.
        """
        chunk, skipped = self._draw(rng), 0
        while chunk.truncated and self._chunking.overflow == "skip" and skipped < _MAX_SKIPPED:
            chunk, skipped = self._draw(rng), skipped + 1
        return dataclasses.replace(chunk, skipped=skipped)

    def _draw(self, rng: np.random.Generator) -> Chunk:
        return self.cut(int(rng.integers(max(self.num_frames - 1, 1))))
