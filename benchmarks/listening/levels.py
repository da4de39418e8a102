"""Levels of notes and phrases."""

from typing import NamedTuple

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.notes import Notes

# Difference to the reference below which a note counts as silent.
SILENT_DB = -20.0
# Level below which a note counts as silent in any case, relative to full scale.
_SILENCE_DB = -80.0
_LEAST_RMS = 1e-7


def level_db(audio: np.ndarray) -> float:
    """Returns the RMS level in dB relative to full scale; -140 for silence."""
    rms = np.sqrt(np.mean(audio.astype(np.float64) ** 2)) if len(audio) else 0.0
    return float(20 * np.log10(max(rms, _LEAST_RMS)))


def note_levels_db(audio: np.ndarray, notes: Notes) -> np.ndarray:
    """Returns the level of each note in dB, [n], onset to offset; notes must not overlap."""
    onsets = np.round(notes.onset_seconds * SAMPLE_RATE).astype(int)
    offsets = np.round(notes.offset_seconds * SAMPLE_RATE).astype(int)
    return np.array([level_db(audio[a:b]) for a, b in zip(onsets, offsets, strict=True)])


class Evenness(NamedTuple):
    """Differences between levels of single notes and the reference.

    Attributes:
        offset_db: median difference, which is subtracted for the others.
        median_db: median of absolute differences.
        high_db: 95th percentile of absolute differences.
        spread_db: standard deviation of the differences.
        silent: number of notes that are more than 20 dB too soft, or inaudible.
    """

    offset_db: float
    median_db: float
    high_db: float
    spread_db: float
    silent: int


def evenness(levels_db: np.ndarray, reference_db: np.ndarray) -> Evenness:
    """Compares levels of the same notes, [n] each."""
    differences = levels_db - reference_db
    offset = float(np.median(differences))
    differences = differences - offset
    silent = (differences < SILENT_DB) | (levels_db < _SILENCE_DB)
    absolute = np.abs(differences)
    return Evenness(
        offset,
        float(np.median(absolute)),
        float(np.percentile(absolute, 95)),
        float(differences.std()),
        int(silent.sum()),
    )
