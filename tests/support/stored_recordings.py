"""Small groups of recordings to prepare datasets from; importable by other processes."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.data.recordings import RecordingGroup, StemReader, read_mono
from spectrodiff.music.notes import Notes
from tests.support.corpora import table

NOTES = Notes(
    onset_seconds=np.array([1 / 3, 0.7]),
    offset_seconds=np.array([0.1 + 1 / 3, 0.9]),
    pitch=np.array([0, 127]),
    velocity=np.array([1, 127]),
    program=np.array([127, 0]),
    is_drum=np.array([False, True]),
)


def noise(seed: int) -> np.ndarray:
    """Returns noise of one second and `seed` samples."""
    return np.random.default_rng(seed).uniform(-1, 1, SAMPLE_RATE + seed).astype(np.float32)


def single(
    id: str, audio: Callable[[], np.ndarray], notes: Callable[[], Notes] | None = None
) -> RecordingGroup:
    """Returns a group of one recording; by default with one note of a second."""
    return RecordingGroup.single(id, StemReader(audio, notes or partial(table, (0, 1, 60))))


def group(id: str, seed: int = 0) -> RecordingGroup:
    """Returns a group of one recording of noise with NOTES."""
    return single(id, partial(noise, seed), partial(NOTES.select, slice(None)))


def broken(id: str, folder: Path) -> RecordingGroup:
    """Returns a group of one recording with a missing audio file."""
    return single(id, partial(read_mono, folder / id))


def _wait_forever(reached: Path) -> np.ndarray:
    reached.write_text("")
    signal.pause()
    raise AssertionError("unreachable")


def stuck(id: str, reached: Path) -> RecordingGroup:
    """Returns a group that blocks when it is read, after writing to the file `reached`."""
    return single(id, partial(_wait_forever, reached))
