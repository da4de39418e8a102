"""Small tracks to prepare datasets from; importable by other processes."""

import signal
from functools import partial
from pathlib import Path

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.data.recordings import Part, Track, read_mono
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
    """One second of noise and `seed` samples more."""
    return np.random.default_rng(seed).uniform(-1, 1, SAMPLE_RATE + seed).astype(np.float32)


def track(id: str, seed: int = 0) -> Track:
    """A track with one recording of noise."""
    return Track.of_one(id, Part(partial(noise, seed), partial(NOTES.select, slice(None))))


def broken(id: str, folder: Path) -> Track:
    """A track whose audio file does not exist."""
    return Track.of_one(id, Part(partial(read_mono, folder / id), partial(table, (0, 1, 60))))


def _wait_forever(reached: Path) -> np.ndarray:
    reached.write_text("")
    signal.pause()
    raise AssertionError("unreachable")


def stuck(id: str, reached: Path) -> Track:
    """A track that is never read completely; writes to the file `reached` when it is begun."""
    return Track.of_one(id, Part(partial(_wait_forever, reached), partial(table, (0, 1, 60))))
