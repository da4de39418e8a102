"""Numbers of tokens of all examples that can be drawn from pieces, known before any is read.

Examples of like length can thus share a batch.
"""

import hashlib
import logging
from pathlib import Path
from typing import Protocol

import numpy as np

from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import open_regular, write_array
from spectrodiff.core.progress import Progress
from spectrodiff.data.loading.examples import ExampleFormat, start_range
from spectrodiff.data.pieces import Piece, PieceLength
from spectrodiff.data.source import PieceSource

logger = logging.getLogger(__name__)

# The largest number of each so many successive starts is stored, which is a few percent more than
# the number of a single one, and takes 500 bytes per piece.
BLOCK_FRAMES = 8

# Part of the names of stored numbers; to be raised when the rules of tokens or blocks change.
_FORMAT = 1
_SHOW_PROGRESS_FROM = 2000  # pieces: seconds


class Source(Protocol):
    """Random access to pieces, such as `spectrodiff.data.source.PieceSource`."""

    @property
    def num_frames(self) -> np.ndarray:
        """Length of each piece, int [pieces]."""
        ...

    @property
    def length(self) -> PieceLength:
        """Length of the pieces that recordings were cut into."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Piece: ...

    def without_audio(self, number: int, /) -> Piece:
        """Returns a piece whose audio is empty."""
        ...


def most_tokens(source: Source, example_format: ExampleFormat) -> np.ndarray:
    """Counts the tokens of the examples of all pieces.

    They are kept in the folder of a prepared corpus if it can be written to.

    Args:
        source: the pieces.
        example_format: tokenization and length of segments.

    Returns:
        The largest number of tokens of an example whose segment begins at one of the frames 8 i to
        8 i + 7 of a piece, uint16 [pieces, ceil(longest piece / 8)]; 65535 stands for more.
    """
    if not isinstance(source, PieceSource):
        return _count(source, example_format)
    settings = _FORMAT, example_format.tokenization, example_format.target_frames
    digest = hashlib.sha256(repr((settings, source.recordings)).encode())
    for known in (source.index.num_frames, source.index.notes["onset_seconds"]):
        digest.update(known.tobytes())
    file = source.index_file.with_name(
        f"tokens-{source.index_file.stem}-{digest.hexdigest()[:16]}.npy"
    )
    stored = _read(file)
    if stored is not None and stored.shape == _shape(source) and stored.dtype == np.uint16:
        return stored
    counted = _count(source, example_format)
    try:
        write_array(file, counted)
    except OutputError as error:
        logger.info("numbers of tokens are not kept: %s", error)
    return counted


def count_tokens(piece: Piece, example_format: ExampleFormat) -> np.ndarray:
    """Counts the tokens of every example of a piece, by the frame that its segment begins at."""
    starts = piece.first_frame + np.arange(start_range(piece.num_frames))
    events = example_format.tokenization.index(piece.notes)
    return events.token_counts(starts, example_format.target_frames)


def _read(file: Path) -> np.ndarray | None:
    """Reads stored numbers; returns None if there are none, or the file is damaged."""
    try:
        with open_regular(file) as opened:
            stored: np.ndarray = np.load(opened)
    except (OSError, ValueError, EOFError, MemoryError):
        return None
    return stored


def _shape(source: Source) -> tuple[int, int]:
    return len(source), -(-int(source.num_frames.max(initial=1)) // BLOCK_FRAMES)


def _count(source: Source, example_format: ExampleFormat) -> np.ndarray:
    table = np.zeros(_shape(source), np.uint16)
    shown = len(table) >= _SHOW_PROGRESS_FROM
    with Progress("counting tokens", len(table), "piece", enabled=shown) as progress:
        for number, row in enumerate(table):
            counts = count_tokens(source.without_audio(number), example_format)
            most = np.maximum.reduceat(counts, np.arange(0, len(counts), BLOCK_FRAMES))
            row[: len(most)] = np.minimum(most, np.iinfo(np.uint16).max)
            progress.advance()
    return table
