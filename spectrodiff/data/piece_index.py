"""Index of the pieces of a split: what is known of them without reading audio."""

import dataclasses
import functools
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from spectrodiff.core.errors import CorpusError, first_line
from spectrodiff.core.files import atomic_file, open_regular
from spectrodiff.data.pieces import Piece, PieceLength
from spectrodiff.music.notes import NOTE_COLUMNS, Notes


@dataclasses.dataclass(frozen=True, eq=False)
class PieceIndex:
    """Pieces of a split, in the order in which they are stored.

    Attributes:
        recordings: ids of the recordings.
        total_seconds: length of each recording, float64 [recordings].
        recording: number of the recording of each piece, int32 [pieces].
        first_frame: frame of its recording that each piece begins at, int32 [pieces].
        num_frames: length of each piece, int32 [pieces].
        note_end: end of each piece's rows in `notes`, int64 [pieces].
        notes: notes of all pieces by column.
        length: how the recordings were cut into pieces.
    """

    recordings: np.ndarray
    total_seconds: np.ndarray
    recording: np.ndarray
    first_frame: np.ndarray
    num_frames: np.ndarray
    note_end: np.ndarray
    notes: dict[str, np.ndarray]
    length: PieceLength

    @classmethod
    def of(cls, pieces: Iterable[Piece], length: PieceLength) -> Self:
        """Builds the index of pieces."""
        numbers: dict[str, int] = {}
        total_seconds, rows = [], []
        columns: dict[str, list[np.ndarray]] = {name: [] for name in NOTE_COLUMNS}
        for piece in pieces:
            if piece.recording not in numbers:
                numbers[piece.recording] = len(numbers)
                total_seconds.append(piece.notes.total_seconds)
            number = numbers[piece.recording]
            rows.append((number, piece.first_frame, piece.num_frames, len(piece.notes)))
            for name, column in columns.items():
                column.append(getattr(piece.notes, name))
        table = np.array(rows, np.int64).reshape(-1, 4)
        recording, first_frame, num_frames = table[:, :3].astype(np.int32).T
        return cls(
            recordings=np.array(list(numbers)),
            total_seconds=np.array(total_seconds, np.float64),
            recording=recording,
            first_frame=first_frame,
            num_frames=num_frames,
            note_end=np.cumsum(table[:, 3]),
            notes={
                name: np.concatenate([np.zeros(0, dtype), *columns[name]])
                for name, dtype in NOTE_COLUMNS.items()
            },
            length=length,
        )

    def piece(self, number: int) -> Piece:
        """Returns a piece whose audio is empty."""
        recording = self.recording[number]
        rows = slice(self.note_end[number - 1] if number else 0, self.note_end[number])
        return Piece(
            str(self.recordings[recording]),
            int(self.first_frame[number]),
            int(self.num_frames[number]),
            np.zeros(0, np.int16),
            Notes.from_columns(
                {name: column[rows] for name, column in self.notes.items()},
                total_seconds=float(self.total_seconds[recording]),
            ),
        )

    @functools.cached_property
    def pieces_of_recordings(self) -> list[np.ndarray]:
        """Numbers of the pieces of each recording, in the order of its frames."""
        order = np.lexsort((self.first_frame, self.recording))
        ends = np.cumsum(np.bincount(self.recording, minlength=len(self.recordings)))
        return np.split(order, ends[:-1])

    def save(self, path: Path) -> None:
        """Writes the index as an .npz file."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= self.notes | {"length": np.array(dataclasses.astuple(self.length))}
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads an index.

        Raises:
            CorpusError: if it is missing or damaged.
        """
        try:
            with open_regular(path) as opened, np.load(opened) as file:
                return cls(
                    **{name: file[name] for name in _ARRAYS},
                    notes={name: file[name] for name in NOTE_COLUMNS},
                    length=PieceLength(*file["length"].tolist()),
                )
        except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile) as error:
            got = f"{first_line(error)}; delete {path.parent} and prepare it anew"
            raise CorpusError(path, "a complete index of pieces", got) from error


_ARRAYS = [
    field.name for field in dataclasses.fields(PieceIndex) if field.name not in ("notes", "length")
]
