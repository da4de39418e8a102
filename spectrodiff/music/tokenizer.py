"""Tokenization of songs: the token ids of all segments."""

import logging
import os
from dataclasses import dataclass

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE, SEGMENT_FRAMES
from spectrodiff.core.errors import MidiError
from spectrodiff.music.events import MAX_TOKENS
from spectrodiff.music.known_instruments import adapt, describe
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overflow:
    """Segment that was truncated to the maximum number of tokens.

    Attributes:
        segment: index of the segment.
        num_tokens: number of tokens before truncation.
        left_out_events: number of onsets, offsets and tied notes truncated at the end.
    """

    segment: int
    num_tokens: int
    left_out_events: int


@dataclass(frozen=True, eq=False)
class SongTokens:
    """Tokens of a song.

    Attributes:
        tokens: int32 [segments, max_tokens], rows terminated by an end-of-sequence id and padded.
        num_frames: number of spectrogram frames of the song; the last segment may extend further.
        num_samples: length of the song at 16 kHz.
        overflows: truncated segments.
        overlap: number of frames that a segment shares with the one before it. The first one begins
            as many frames before the song.
        notes: the notes as the model hears them (`Tokenization.heard`); None if not known.
    """

    tokens: np.ndarray
    num_frames: int
    num_samples: int
    overflows: tuple[Overflow, ...]
    overlap: int = 0
    notes: Notes | None = None


def tokenize(song: str | os.PathLike[str] | Notes, *, strict: bool = False) -> np.ndarray:
    """Tokenizes a song for the released models; `tokenize_song` has more options.

    Args:
        song: MIDI file or notes.
        strict: whether a segment with too many tokens is an error.

    Returns:
        int32 [segments, 2048].

    Raises:
        MidiError: see `tokenize_song`.
    """
    return tokenize_song(song, strict=strict).tokens


def tokenize_song(
    song: str | os.PathLike[str] | Notes,
    tokenization: Tokenization = RELEASED_TOKENIZATION,
    *,
    max_tokens: int = MAX_TOKENS,
    segment_frames: int = SEGMENT_FRAMES,
    overlap: int = 0,
    strict: bool = False,
    name: str | None = None,
    model: str = "the model",
) -> SongTokens:
    """Tokenizes all segments of a song; the defaults are those of the released models.

    A segment with too many tokens is truncated after the last event that fits, with a warning.

    Args:
        song: MIDI file or notes.
        tokenization: tokenization of the model.
        max_tokens: number of tokens per segment, N.
        segment_frames: length of the segments in frames.
        overlap: number of frames that segments share, as in `SongTokens`.
        strict: whether a segment with too many tokens is an error.
        name: name of the song in messages; by default its path.
        model: name of the model in messages.

    Raises:
        MidiError: if the file cannot be read, if no notes are left for the model, or if `strict`
            and a segment has too many tokens.
    """
    if isinstance(song, Notes):
        name, notes = name or "song", song
    else:
        name, notes = name or os.fspath(song), read_midi(song)
        if notes.remarks:
            logger.warning("%s: %s", name, "; ".join(notes.remarks))
    if not len(notes):
        raise MidiError(name, "a song with notes", "none")
    adaptation = adapt(notes, tokenization, song=name, model=model)
    if line := describe(adaptation, tokenization, song=os.path.basename(name), model=model):
        logger.warning(line)
    song_tokens = tokenize_adapted(
        adaptation.notes, tokenization, max_tokens, segment_frames, overlap
    )
    _report(song_tokens.overflows, name, max_tokens, segment_frames - overlap, strict)
    return song_tokens


def tokenize_adapted(
    notes: Notes,
    tokenization: Tokenization,
    max_tokens: int,
    segment_frames: int,
    overlap: int = 0,
) -> SongTokens:
    """Tokenizes all segments of a song that has only instruments that the model knows.

    Args:
        notes: the song; without notes it is silent.
        tokenization: tokenization of the model.
        max_tokens: number of tokens per segment, N; longer segments are truncated.
        segment_frames: length of the segments in frames.
        overlap: number of frames that segments share, as in `SongTokens`.
    """
    events = tokenization.index(notes)
    starts = range(0, events.num_frames, segment_frames - overlap)
    segments = [events.segment(start - overlap, max_tokens, segment_frames) for start in starts]
    overflows = tuple(
        Overflow(number, segment.num_tokens, segment.left_out_events)
        for number, segment in enumerate(segments)
        if segment.left_out_events
    )
    tokens = np.stack([segment.padded(max_tokens) for segment in segments])
    heard = tokenization.heard(notes)
    return SongTokens(tokens, events.num_frames, events.num_samples, overflows, overlap, heard)


def _report(
    overflows: tuple[Overflow, ...], name: str, max_tokens: int, hop_frames: int, strict: bool
) -> None:
    for overflow in overflows:
        start_seconds = overflow.segment * hop_frames * HOP_SAMPLES / SAMPLE_RATE
        where = f"segment {overflow.segment} (from {start_seconds:.2f} s)"
        if strict:
            raise MidiError(
                name,
                f"at most {max_tokens} tokens in a segment",
                f"{overflow.num_tokens} in {where}",
            )
        logger.warning(
            "%s: %s needs %d tokens, more than %d; its last %d events are left out",
            name,
            where,
            overflow.num_tokens,
            max_tokens,
            overflow.left_out_events,
        )
