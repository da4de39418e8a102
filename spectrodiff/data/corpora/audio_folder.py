"""Folder of audio files without notes, for training that needs only audio."""

import contextlib
import dataclasses
import logging
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import SupportsIndex

import numpy as np

from spectrodiff.audio.files import audio_blocks, read_audio, read_excerpt
from spectrodiff.audio.samples import full_scale_gain, peak_of, to_full_scale, to_int16
from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.errors import AudioError, CorpusError
from spectrodiff.core.progress import Progress
from spectrodiff.core.runtime import num_cores
from spectrodiff.data.corpora.folders import AUDIO_SUFFIXES, group_by_name, split_by_name
from spectrodiff.data.pieces import Piece, PieceLength, piece_spans
from spectrodiff.data.recordings import Recording
from spectrodiff.music.events import count_frames
from spectrodiff.music.notes import Notes

logger = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
_MAX_THREADS = 16


@dataclasses.dataclass(frozen=True)
class AudioFolder:
    """Recordings without notes, read on access; can be pickled.

    Args:
        files: audio file of each recording.
        ids: name of each, relative to the folder and without suffix.
    """

    files: tuple[Path, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: SupportsIndex) -> Recording:
        audio, _ = to_full_scale(read_audio(self.files[index], SAMPLE_RATE))
        return Recording(self.ids[index], audio, Notes.empty(len(audio) / SAMPLE_RATE))


class AudioPieces:
    """Pieces of the recordings of a folder, read on access; can be pickled.

    All files are decoded at the beginning, so that a damaged one is not found days later. Pieces of
    a recording that is louder than full scale are scaled down by the same factor.

    Args:
        folder: the recordings.
        length: how they are cut into pieces.

    Attributes:
        length: how they are cut into pieces.
        num_frames: length of each piece, int [pieces].

    Raises:
        AudioError: names the first file that cannot be read; all are logged.
    """

    def __init__(self, folder: AudioFolder, length: PieceLength) -> None:
        self.length, self._folder = length, folder
        measured = _measure_all(folder.files)
        self._samples = [samples for samples, _ in measured]
        self._gains = [full_scale_gain(peak) for _, peak in measured]
        loud = [id for id, gain in zip(folder.ids, self._gains, strict=True) if gain < 1]
        if loud:
            message = "%d audio files are louder than full scale and scaled down, such as %s"
            logger.info(message, len(loud), loud[0])
        places = [
            (file, first, end - first)
            for file, frames in enumerate(map(count_frames, self._samples))
            for first, end in piece_spans(frames, length)
        ]
        self._file, self._first, self.num_frames = np.array(places).T

    def __len__(self) -> int:
        return len(self.num_frames)

    def __getitem__(self, number: SupportsIndex) -> Piece:
        piece, file = self.without_audio(number), self._file[number]
        frames = piece.num_frames + self.length.following
        excerpt = read_excerpt(
            self._folder.files[file], piece.first_frame * HOP_SAMPLES, frames * HOP_SAMPLES
        )
        return dataclasses.replace(piece, audio=to_int16(excerpt, self._gains[file]))

    def without_audio(self, number: SupportsIndex) -> Piece:
        """Returns a piece whose audio is empty."""
        file = self._file[number]
        return Piece(
            self._folder.ids[file],
            int(self._first[number]),
            int(self.num_frames[number]),
            np.zeros(0, np.int16),
            Notes.empty(self._samples[file] / SAMPLE_RATE),
        )


def _measure_all(files: tuple[Path, ...]) -> list[tuple[int, float]]:
    """Returns number of samples and peak of each file.

    Raises:
        AudioError: if files cannot be read.
    """
    measured: list[tuple[int, float]] = []
    errors: list[AudioError] = []
    with (
        Progress("checking audio", len(files), "file") as progress,
        # Decoding and resampling do not hold the interpreter's lock.
        ThreadPoolExecutor(min(num_cores(), _MAX_THREADS)) as pool,
        # Closed first, or Ctrl-C would wait for all files.
        contextlib.closing(_map(pool, files)) as results,
    ):
        for result in results:
            if isinstance(result, AudioError):
                logger.warning("%s", result)
                errors.append(result)
            else:
                measured.append(result)
            progress.advance()
    if errors:
        first, others = errors[0], len(errors) - 1
        got = f"{first.got} (and {others} more files like this)" if others else first.got
        raise AudioError(first.subject, first.expected, got)
    return measured


def _map(
    pool: ThreadPoolExecutor, files: tuple[Path, ...]
) -> Generator[tuple[int, float] | AudioError, None, None]:
    yield from pool.map(_measure, files)


def _measure(path: Path) -> tuple[int, float] | AudioError:
    samples, peak = 0, 0.0
    try:
        for block in audio_blocks(path, SAMPLE_RATE):
            samples, peak = samples + len(block), max(peak, peak_of(block))
        # Some formats can only be read from their beginning.
        read_excerpt(path, samples // 2, 1)
    except AudioError as error:
        return error
    return samples, peak


def open_audio_folder(folder: Path, *, validation: bool) -> AudioFolder:
    """Opens the audio files in a folder and its subfolders.

    A tenth of them, chosen by name, is the validation split. A single file is in both splits. Of
    files that differ only in their suffix, the first in the order of `AUDIO_SUFFIXES` is used.

    Args:
        folder: folder with audio files.
        validation: whether to open the validation split or the training split.

    Raises:
        CorpusError: if there are no audio files.
    """
    named, skipped = group_by_name(folder, AUDIO_SUFFIXES)
    for skip in skipped:
        logger.warning("%s in %s is left out: %s", skip.id, folder, skip.reason)
    if not named:
        raise CorpusError(folder, f"audio files ({', '.join(AUDIO_SUFFIXES)})", "none")
    files: dict[str, Path] = {}  # by the name that decides on the split
    ids: dict[str, str] = {}
    for id, paths in named.items():
        path = min(paths, key=lambda path: AUDIO_SUFFIXES.index(path.suffix.lower()))
        if len(paths) > 1:
            logger.warning("of %d files named %s, %s is used", len(paths), id, path.name)
        files[id + path.suffix], ids[id + path.suffix] = path, id
    chosen = sorted(files)
    if len(files) > 1:
        train, held_back = split_by_name(files, VALIDATION_SHARE)
        chosen = sorted(held_back if validation else train)
    return AudioFolder(tuple(files[name] for name in chosen), tuple(ids[name] for name in chosen))
