"""CRC-32 checksums that identify files, models and recordings."""

import os
import zlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.checksums import json_checksum
from spectrodiff.core.files import open_regular
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.notes import Notes
from spectrodiff.music.tokenization import Tokenization

_BLOCK_BYTES = 1 << 24
# Settings added since evaluations are stored.
_LATER = {
    *("estimates", "positions", "context_positions", "onsets_only", "mask_context"),
    *("spacing", "times", "start", "guidance_times", "context_guidance", "overlap"),
}


def path_checksum(source: str | os.PathLike[str]) -> str:
    """Returns the checksum of a file, of all files in a folder, or else of the name itself."""
    path = Path(source)
    if path.is_dir():
        names = sorted(child.relative_to(path) for child in path.rglob("*") if child.is_file())
        return json_checksum([[name.as_posix(), _file_checksum(path / name)] for name in names])
    return _file_checksum(path) if path.is_file() else json_checksum(os.fspath(source))


def checkpoint_checksum(checkpoint: Checkpoint) -> str:
    """Returns the checksum of a model's parameters and of the settings that they depend on."""
    crc = 0
    for name, array in sorted(flatten(checkpoint.params).items()):
        crc = zlib.crc32(array.tobytes(), zlib.crc32(name.encode(), crc))
    settings = [settings_dict(checkpoint.config), checkpoint.prediction, checkpoint.schedule]
    return json_checksum([crc, *settings, checkpoint.tokenization.velocity_bins])


def settings_dict(settings: ModelConfig | Sampling | Tokenization) -> dict[str, Any]:
    """Returns settings by name; later ones are left out if they have their defaults.

    Checksums and descriptions of models that older versions wrote stay the same that way.
    """
    values = asdict(settings)
    for field in fields(settings):
        if field.name in _LATER and values[field.name] == field.default:
            del values[field.name]
    return values


def recording_checksum(audio: np.ndarray, notes: Notes) -> str:
    """Returns the checksum of a recording [samples] and its notes."""
    crc = zlib.crc32(audio.tobytes())
    times = (notes.onset_seconds, notes.offset_seconds)
    for column in (*times, notes.pitch, notes.program, notes.is_drum):
        crc = zlib.crc32(column.tobytes(), crc)
    return _hex(crc)


def _file_checksum(path: Path) -> str:
    crc = 0
    with open_regular(path) as file:
        while block := file.read(_BLOCK_BYTES):
            crc = zlib.crc32(block, crc)
    return _hex(crc)


def _hex(crc: int) -> str:
    return f"{crc:08x}"
