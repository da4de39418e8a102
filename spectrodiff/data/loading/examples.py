"""Examples: excerpts of a recording with the tokens of the notes in their segments.

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

# Examples with too many notes that are skipped in a row; a recording may have no others.
_MAX_SKIPPED = 20


@dataclasses.dataclass(frozen=True)
class ExampleFormat:
    """Lengths and tokenization of examples; the defaults are the paper's.

    Attributes:
        context_frames: C, frames before the segment; 0 for a network without context.
        target_frames: F, frames of the segment.
        max_tokens: maximum number of note tokens.
        tokenization: of the notes.
        overflow: "skip" replaces an example with too many notes by another of the same recording,
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
        audio: int16 [(C + F + 16) * 320], context, segment, and what follows; zeros outside the
            recording.
        context_frames: number of context frames, the last ones, that lie inside the recording.
        skipped: number of examples with too many notes that were drawn before this one.
        truncated: True if notes were dropped.
    """

    tokens: np.ndarray
    audio: np.ndarray
    context_frames: int
    skipped: int = 0
    truncated: bool = False


class Cutter:
    """Cuts examples out of one recording; its notes are indexed once.

    Args:
        recording: audio and notes.
        example_format: lengths and tokenization.
    """

    def __init__(self, recording: Recording, example_format: ExampleFormat) -> None:
        self._audio, self._format = recording.audio, example_format
        self._events = example_format.tokenization.index(recording.notes)

    @property
    def num_frames(self) -> int:
        """Number of frames of the recording."""
        return self._events.num_frames

    def cut(self, target_frame: int) -> Example:
        """Cuts the example whose segment starts at a frame; drops notes if there are too many."""
        context, target = self._format.context_frames, self._format.target_frames
        segment = self.tokens(target_frame)
        return Example(
            tokens=segment.tokens,
            audio=cut_segment(self._audio, target_frame - context, context + target),
            context_frames=min(target_frame, context),
            truncated=segment.left_out_events > 0,
        )

    def tokens(self, target_frame: int) -> SegmentTokens:
        """Returns the tokens of the segment that starts at a frame."""
        settings = self._format
        return self._events.segment(target_frame, settings.max_tokens, settings.target_frames)

    def draw(self, rng: np.random.Generator) -> Example:
        """Cuts a random example; the start of its segment is uniformly distributed.

        The segment may start at any frame but the last, so there are fewer context frames near the
        start of the recording, down to none.
        """
        example, skipped = self._draw(rng), 0
        while example.truncated and self._format.overflow == "skip" and skipped < _MAX_SKIPPED:
            example, skipped = self._draw(rng), skipped + 1
        return dataclasses.replace(example, skipped=skipped)

    def _draw(self, rng: np.random.Generator) -> Example:
        return self.cut(int(rng.integers(max(self.num_frames - 1, 1))))
