"""Folder of audio files without notes, for training that needs only audio."""

import dataclasses
from pathlib import Path
from typing import SupportsIndex

from spectrodiff.audio.files import read_audio
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora.pairs import AUDIO_SUFFIXES, split_by_name
from spectrodiff.data.recordings import Recording, labeled_notes, to_int16, visible

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
        notes = dataclasses.replace(labeled_notes([]), total_seconds=len(audio) / SAMPLE_RATE)
        return Recording(path.stem, audio, notes)


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
