"""Pieces of recordings, which corpora are stored in and training examples are drawn from.

An example lies within one piece (paper's training recipe), so reading one takes as long for a
recording of two hours as for a short one.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import SupportsIndex

import numpy as np

from spectrodiff.core.config import require
from spectrodiff.core.constants import (
    EXTRA_FRAMES,
    FRAMES_PER_SECOND,
    HOP_SAMPLES,
    SAMPLE_RATE,
    SEGMENT_FRAMES,
)
from spectrodiff.data.recordings import Recording
from spectrodiff.music.events import count_frames
from spectrodiff.music.notes import Notes, merge_notes

PIECE_FRAMES = 2000  # 40 s, as in the paper

# Half of the resolution of tokens would do: times are rounded to steps of 10 ms.
_MARGIN_SECONDS = 0.01


@dataclasses.dataclass(frozen=True)
class PieceLength:
    """Length of the pieces that recordings are cut into.

    Attributes:
        frames: length of a piece; the last piece of a recording is shorter.
        following: frames that are stored after a piece, so that a segment that begins in it can be
            complete: those of a segment, and of the features' windows.

    Raises:
        ConfigError: if a length is not positive.
    """

    frames: int = PIECE_FRAMES
    following: int = SEGMENT_FRAMES + EXTRA_FRAMES

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(value >= 1, f"PieceLength.{name}", "a whole number >= 1", value)


PAPER_PIECES = PieceLength()


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Part of a recording, with what follows it.

    Attributes:
        recording: id of the recording.
        first_frame: frame of the recording that the piece begins at.
        num_frames: length, without what follows.
        audio: int16 [samples], from the first frame on, with what follows; shorter at the end of
            the recording.
        notes: notes that sound in it, and those that decide which of them do; times and
            `total_seconds` are those of the recording.
    """

    recording: str
    first_frame: int
    num_frames: int
    audio: np.ndarray
    notes: Notes


def piece_spans(frames: int, length: PieceLength) -> list[tuple[int, int]]:
    """Returns the first frame of each piece of a recording, and the frame after its last one.

    The last frame, which may be empty and never begins a segment, gets no piece of its own.
    """
    firsts = range(0, max(frames - 1, 1), length.frames)
    return [(first, min(first + length.frames, frames)) for first in firsts]


def whole(recording: Recording) -> Piece:
    """Returns a recording as a single piece."""
    frames = count_frames(len(recording.audio))
    return Piece(recording.id, 0, frames, recording.audio, recording.notes)


def cut_pieces(recording: Recording, length: PieceLength) -> Iterator[Piece]:
    """Cuts a recording into pieces."""
    frames = count_frames(len(recording.audio))
    for first, end in piece_spans(frames, length):
        stop = None if end == frames else (end + length.following) * HOP_SAMPLES
        yield Piece(
            recording=recording.id,
            first_frame=first,
            num_frames=end - first,
            audio=recording.audio[first * HOP_SAMPLES : stop],
            notes=notes_of_piece(recording.notes, first, end + length.following),
        )


def notes_of_piece(notes: Notes, first_frame: int, end_frame: int) -> Notes:
    """Selects the notes that decide the tokens of all segments between two frames.

    These are the notes that begin between them, and, of each pitch that sounds at the first frame,
    those before it: tokens say that a note ends with the next event of its pitch, so an earlier
    note may end a later one. Order and `total_seconds` are kept.
    """
    first_seconds = first_frame / FRAMES_PER_SECOND
    before = notes.onset_seconds < first_seconds
    sounding = before & ~notes.is_drum & (notes.offset_seconds >= first_seconds - _MARGIN_SECONDS)
    # Of each pitch: since when a note sounds that lasts until the first frame, and since when the
    # notes sound that end after that.
    since = _earliest(notes, sounding)
    since = _earliest(notes, ~notes.is_drum & (notes.offset_seconds >= since[notes.pitch]))
    held = before & ~notes.is_drum & (notes.onset_seconds >= since[notes.pitch])
    begins = notes.onset_seconds >= first_seconds - _MARGIN_SECONDS
    begins &= notes.onset_seconds < end_frame / FRAMES_PER_SECOND + _MARGIN_SECONDS
    return notes.select(held | begins)


def _earliest(notes: Notes, rows: np.ndarray) -> np.ndarray:
    """Returns the earliest onset of the given notes of each pitch; infinity if there are none."""
    earliest = np.full(128, np.inf)
    np.minimum.at(earliest, notes.pitch[rows], notes.onset_seconds[rows])
    return earliest


def join_pieces(pieces: Sequence[Piece]) -> Recording:
    """Joins all pieces of a recording, in their order."""
    last = pieces[-1]
    audio = [piece.audio[: piece.num_frames * HOP_SAMPLES] for piece in pieces[:-1]]
    tables = []
    for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
        begins = piece.notes.onset_seconds >= piece.first_frame / FRAMES_PER_SECOND
        if following is not None:
            begins &= piece.notes.onset_seconds < following.first_frame / FRAMES_PER_SECOND
        tables.append(piece.notes.select(begins))
    joined = np.concatenate([*audio, last.audio])
    notes = dataclasses.replace(merge_notes(tables), total_seconds=len(joined) / SAMPLE_RATE)
    return Recording(last.recording, joined, notes)


class MemoryPieces:
    """Pieces of recordings in memory.

    Args:
        recordings: the recordings.
        length: how they are cut into pieces.

    Attributes:
        length: how they are cut into pieces.
        num_frames: length of each piece, int [pieces].
    """

    def __init__(self, recordings: Iterable[Recording], length: PieceLength = PAPER_PIECES) -> None:
        self.length = length
        self._pieces = [piece for one in recordings for piece in cut_pieces(one, length)]
        self.num_frames = np.array([piece.num_frames for piece in self._pieces], int)

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, number: SupportsIndex) -> Piece:
        return self._pieces[number]

    def without_audio(self, number: SupportsIndex) -> Piece:
        """Returns a piece whose audio is empty."""
        return dataclasses.replace(self._pieces[number], audio=np.zeros(0, np.int16))
