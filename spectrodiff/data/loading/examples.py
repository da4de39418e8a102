"""Examples: excerpts of a piece with the tokens of the notes in their segments.

Axis letters: C context frames, F target frames.
"""

import dataclasses
from typing import Literal, TypeVar, get_args

import numpy as np

from spectrodiff.audio.features import cut_segment
from spectrodiff.core.constants import SEGMENT_FRAMES
from spectrodiff.core.errors import ConfigError
from spectrodiff.data.pieces import Piece
from spectrodiff.music.events import MAX_TOKENS, SegmentTokens
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization

OverflowPolicy = Literal["skip", "truncate"]
Frames = TypeVar("Frames", int, np.ndarray)

# Examples with too many notes that are skipped in a row; a piece may have no others.
_MAX_SKIPPED = 20


@dataclasses.dataclass(frozen=True)
class ExampleFormat:
    """Lengths and tokenization of examples; the defaults are the paper's.

    Attributes:
        context_frames: C, frames before the segment; 0 for a network without context.
        target_frames: F, frames of the segment.
        max_tokens: maximum number of note tokens.
        tokenization: of the notes.
        overflow: "skip" replaces an example with too many notes by another of the same piece,
            "truncate" drops its last notes.
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
                expected = f"a whole number >= {minimum}"
                raise ConfigError(f"ExampleFormat.{name}", expected, repr(value))
        if self.overflow not in get_args(OverflowPolicy):
            expected = f"one of {', '.join(get_args(OverflowPolicy))}"
            raise ConfigError("ExampleFormat.overflow", expected, repr(self.overflow))


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """An example, not padded yet.

    Attributes:
        tokens: int32 [n], notes of the segment.
        audio: int16 [(C + F + 16) * 320], context, segment, and what follows; zeros before the
            piece and after the recording.
        context_frames: number of context frames, the last ones, that lie inside the piece.
        skipped: number of examples with too many notes that were drawn before this one.
        truncated: True if notes were dropped.
    """

    tokens: np.ndarray
    audio: np.ndarray
    context_frames: int
    skipped: int = 0
    truncated: bool = False


class Cutter:
    """Cuts examples out of one piece; its notes are indexed once.

    Args:
        piece: audio and notes.
        example_format: lengths and tokenization.
    """

    def __init__(self, piece: Piece, example_format: ExampleFormat) -> None:
        self._piece, self._format = piece, example_format
        self._events = example_format.tokenization.index(piece.notes)

    def cut(self, target_frame: int) -> Example:
        """Cuts an example; drops notes if there are too many.

        Args:
            target_frame: frame of the piece that the segment begins at.
        """
        context, target = self._format.context_frames, self._format.target_frames
        segment = self.tokens(target_frame)
        return Example(
            tokens=segment.tokens,
            audio=cut_segment(self._piece.audio, target_frame - context, context + target),
            context_frames=min(target_frame, context),
            truncated=segment.left_out_events > 0,
        )

    def tokens(self, target_frame: int) -> SegmentTokens:
        """Returns the tokens of the segment that begins at a frame of the piece."""
        settings = self._format
        start = self._piece.first_frame + target_frame
        return self._events.segment(start, settings.max_tokens, settings.target_frames)

    def cut_or_replace(self, target_frame: int, rng: np.random.Generator) -> Example:
        """Cuts an example, or random ones instead while there are too many notes to be kept."""
        example, skipped = self.cut(target_frame), 0
        while example.truncated and self._format.overflow == "skip" and skipped < _MAX_SKIPPED:
            example, skipped = self.cut(draw_start(rng, self._piece.num_frames)), skipped + 1
        return dataclasses.replace(example, skipped=skipped)


def draw_start(rng: np.random.Generator, num_frames: int) -> int:
    """Draws the frame of a piece that a segment begins at; see `start_range`."""
    return int(rng.integers(start_range(num_frames)))


def start_range(num_frames: Frames) -> Frames:
    """Returns the number of frames that a segment may begin at: all but the last one.

    Near the beginning of a piece there are fewer context frames, down to none (paper's recipe).
    """
    return np.maximum(num_frames - 1, 1)
