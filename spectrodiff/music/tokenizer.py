"""From a song to the token ids of its segments."""

import logging
import os
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE, SEGMENT_FRAMES
from spectrodiff.core.errors import MidiError
from spectrodiff.music.events import MAX_TOKENS
from spectrodiff.music.known_instruments import adapt, describe
from spectrodiff.music.notes import Notes, read_midi
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overflow:
    """A segment whose notes need more tokens than there is room for.

    Attributes:
        segment: its number, counted from 0.
        num_tokens: how many tokens it would have needed.
        left_out_events: how many onsets, offsets and tied notes at its end are not in it.
    """

    segment: int
    num_tokens: int
    left_out_events: int


@dataclass(frozen=True, eq=False)
class SongTokens:
    """The tokens of a whole song.

    Attributes:
        tokens: int32 [segments, max_tokens], each row closed by an end-of-sequence id and padded.
        num_frames: how many spectrogram frames the song has; the last segment may reach further.
        num_samples: length of the song at 16 kHz.
        overflows: the segments that were cut.
    """

    tokens: np.ndarray
    num_frames: int
    num_samples: int
    overflows: tuple[Overflow, ...]


def tokenize(song: str | os.PathLike[str] | Notes, *, strict: bool = False) -> np.ndarray:
    """The tokens of a song as the released models expect them; `tokenize_song` has more options.

    Args:
        song: a MIDI file, or notes.
        strict: refuse a song with a segment that is too long.

    Returns:
        int32 [segments, 2048].

    Raises:
        MidiError: as `tokenize_song` does.
    """
    return tokenize_song(song, strict=strict).tokens


def tokenize_song(
    song: str | os.PathLike[str] | Notes,
    tokenization: Tokenization = RELEASED_TOKENIZATION,
    *,
    max_tokens: int = MAX_TOKENS,
    segment_frames: int = SEGMENT_FRAMES,
    strict: bool = False,
    name: str | None = None,
    model: str = "the model",
) -> SongTokens:
    """The tokens of all segments of a song; the defaults are those of the released models.

    A segment that is too long is cut behind the last event that fits, and a warning is logged.

    Args:
        song: a MIDI file, or notes.
        tokenization: which tokens stand for its notes.
        max_tokens: length of the rows, N.
        segment_frames: length of the segments.
        strict: refuse a song with a segment that is too long.
        name: of the song in messages; by default that of its file.
        model: what messages call the model.

    Raises:
        MidiError: if the file cannot be read, if there are no notes that can be played, or if
            `strict` and a segment is too long.
    """
    if isinstance(song, Notes):
        name, notes = name or "song", song
    else:
        name, notes = name or os.fspath(song), read_midi(song)
    if not len(notes):
        raise MidiError(name, "a song with notes", "none")
    adaptation = adapt(notes, tokenization, song=name, model=model)
    if line := describe(adaptation, tokenization, song=os.path.basename(name), model=model):
        logger.warning(line)
    events = tokenization.index(adaptation.notes)
    starts = range(0, events.num_frames, segment_frames)
    segments = [events.segment(start, max_tokens, segment_frames) for start in starts]
    overflows = tuple(
        Overflow(number, segment.num_tokens, segment.left_out_events)
        for number, segment in enumerate(segments)
        if segment.left_out_events
    )
    _report(overflows, name, max_tokens, segment_frames, strict)
    tokens = np.stack([segment.padded(max_tokens) for segment in segments])
    return SongTokens(tokens, events.num_frames, events.num_samples, overflows)


def _report(
    overflows: tuple[Overflow, ...], name: str, max_tokens: int, segment_frames: int, strict: bool
) -> None:
    for overflow in overflows:
        start_seconds = overflow.segment * segment_frames * HOP_SAMPLES / SAMPLE_RATE
        where = f"segment {overflow.segment} (from {start_seconds:.2f} s)"
        if strict:
            raise MidiError(
                name,
                f"at most {max_tokens} tokens in a segment",
                f"{overflow.num_tokens} in {where}",
            )
        logger.warning(
            "%s: %s needs %d tokens where %d are possible; its last %d events are left out",
            name,
            where,
            overflow.num_tokens,
            max_tokens,
            overflow.left_out_events,
        )
