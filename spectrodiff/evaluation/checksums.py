"""Short numbers that change when a file, a model or a recording does."""

import json
import os
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.music.notes import Notes

_BLOCK_BYTES = 1 << 24


def of_json(value: Any) -> str:
    """Of what JSON can hold, whatever the order of its keys."""
    return _hex(zlib.crc32(json.dumps(value, sort_keys=True).encode()))


def of_path(source: str | os.PathLike[str]) -> str:
    """Of a file, or of all files in a folder; of anything else its name."""
    path = Path(source)
    if path.is_dir():
        names = sorted(child.relative_to(path) for child in path.rglob("*") if child.is_file())
        return of_json([[name.as_posix(), _of_file(path / name)] for name in names])
    return _of_file(path) if path.is_file() else of_json(os.fspath(source))


def of_checkpoint(checkpoint: Checkpoint) -> str:
    """Of a model's parameters and of what says how to read them."""
    crc = 0
    for name, array in sorted(flatten(checkpoint.params).items()):
        crc = zlib.crc32(array.tobytes(), zlib.crc32(name.encode(), crc))
    settings = [asdict(checkpoint.config), checkpoint.prediction, checkpoint.schedule]
    return of_json([crc, *settings, checkpoint.tokenization.velocity_bins])


def of_recording(audio: np.ndarray, notes: Notes) -> str:
    """Of a recording and its notes."""
    crc = zlib.crc32(audio.tobytes())
    times = (notes.onset_seconds, notes.offset_seconds)
    for column in (*times, notes.pitch, notes.program, notes.is_drum):
        crc = zlib.crc32(column.tobytes(), crc)
    return _hex(crc)


def _of_file(path: Path) -> str:
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            crc = zlib.crc32(block, crc)
    return _hex(crc)


def _hex(crc: int) -> str:
    return f"{crc:08x}"
