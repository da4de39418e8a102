"""Folder of audio files without notes, for training that needs only audio."""

import dataclasses
from pathlib import Path
from typing import SupportsIndex

import numpy as np

from spectrodiff.audio.files import count_samples, read_audio, read_excerpt
from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora.pairs import AUDIO_SUFFIXES, split_by_name
from spectrodiff.data.pieces import Piece, PieceLength, piece_spans
from spectrodiff.data.recordings import Recording, labeled_notes, to_int16, visible
from spectrodiff.music.events import count_frames
from spectrodiff.music.notes import Notes

VALIDATION_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class AudioFolder:
    """Recordings without notes, read on access; can be pickled.

    Args:
        files: audio file of each recording.
    """

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: SupportsIndex) -> Recording:
        path = self.files[index]
        audio = to_int16(read_audio(path, SAMPLE_RATE))
        return Recording(path.stem, audio, _no_notes(len(audio)))


class AudioPieces:
    """Pieces of the recordings of a folder, read on access; can be pickled.

    Args:
        folder: the recordings.
        length: how they are cut into pieces.

    Attributes:
        length: how they are cut into pieces.
        num_frames: length of each piece, int [pieces].

    Raises:
        AudioError: if a file is not audio.
    """

    def __init__(self, folder: AudioFolder, length: PieceLength) -> None:
        self.length, self._files = length, folder.files
        self._samples = [count_samples(path, SAMPLE_RATE) for path in folder.files]
        places = [
            (file, first, end - first)
            for file, frames in enumerate(map(count_frames, self._samples))
            for first, end in piece_spans(frames, length)
        ]
        self._file, self._first, self.num_frames = np.array(places).T

    def __len__(self) -> int:
        return len(self.num_frames)

    def __getitem__(self, number: SupportsIndex) -> Piece:
        piece = self.without_audio(number)
        path = self._files[self._file[number]]
        frames = piece.num_frames + self.length.following
        excerpt = read_excerpt(path, piece.first_frame * HOP_SAMPLES, frames * HOP_SAMPLES)
        return dataclasses.replace(piece, audio=to_int16(excerpt))

    def without_audio(self, number: SupportsIndex) -> Piece:
        """Returns a piece whose audio is empty."""
        file = self._file[number]
        return Piece(
            self._files[file].stem,
            int(self._first[number]),
            int(self.num_frames[number]),
            np.zeros(0, np.int16),
            _no_notes(self._samples[file]),
        )


def _no_notes(num_samples: int) -> Notes:
    return dataclasses.replace(labeled_notes([]), total_seconds=num_samples / SAMPLE_RATE)


def open_audio_folder(folder: Path, *, validation: bool) -> AudioFolder:
    """Opens the audio files in a folder and its subfolders.

    A tenth of them, chosen by name, is the validation split. A single file is in both splits.

    Args:
        folder: folder with audio files.
        validation: whether to open the validation split or the training split.

    Raises:
        CorpusError: if there are no audio files.
    """
    files = [
        path
        for path in visible(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    ]
    if not files:
        raise CorpusError(folder, f"audio files ({', '.join(AUDIO_SUFFIXES)})", "none")
    if len(files) == 1:
        return AudioFolder(tuple(files))
    names = {path.relative_to(folder).as_posix(): path for path in files}
    train, held_back = split_by_name(names, VALIDATION_SHARE)
    chosen = held_back if validation else train
    return AudioFolder(tuple(names[name] for name in sorted(chosen)))
