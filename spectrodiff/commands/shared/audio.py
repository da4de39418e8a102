"""Audio files on a command line, and those in folders: found, then decoded once as a check."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.audio.files import audio_blocks
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError
from spectrodiff.data.corpora.folders import ALL_AUDIO_SUFFIXES, files_below

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class AudioFile:
    """Audio file that a command line names.

    Attributes:
        path: the file.
        name: its name; in a folder that was named, its path below that folder.
    """

    path: Path
    name: str


def find_audio(inputs: Sequence[str]) -> list[AudioFile]:
    """Returns the files of a command line; a folder stands for all audio files below it.

    Raises:
        AudioError: if there are none in a folder.
    """
    found = []
    for text in inputs:
        path = Path(text)
        if not path.is_dir():
            found.append(AudioFile(path, path.name))
            continue
        below, skipped = files_below(path)
        for skip in skipped:
            logger.warning("%s in %s is left out: %s", skip.id, path, skip.reason)
        # A file that is named itself may have any other suffix.
        files = [file for file in below if file.suffix.lower() in ALL_AUDIO_SUFFIXES]
        if not files:
            raise AudioError(path, "audio files in this folder", "none")
        found += [AudioFile(file, str(file.relative_to(path))) for file in files]
    return found


def count_seconds(path: Path) -> float:
    """Decodes an audio file and returns its length in seconds.

    Raises:
        AudioError: if it cannot be read to its end, or contains NaN.
    """
    return sum(map(len, audio_blocks(path, SAMPLE_RATE))) / SAMPLE_RATE
