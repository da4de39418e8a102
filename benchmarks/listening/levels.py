"""Levels of notes and phrases."""

from typing import NamedTuple

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.notes import Notes

# Difference to the reference below which a note counts as silent.
SILENT_DB = -20.0
# Level below which a note counts as silent in any case, relative to full scale.
_SILENCE_DB = -80.0
# Level of silence, -140 dB.
LEAST_RMS = 1e-7
BLOCK_SECONDS = 0.5
# Log-mel magnitude below which changes are not heard.
_QUIET = -8.0


def level_db(audio: np.ndarray) -> float:
    """Returns the RMS level in dB relative to full scale; -140 for silence."""
    rms = np.sqrt(np.mean(audio.astype(np.float64) ** 2)) if len(audio) else 0.0
    return float(20 * np.log10(max(rms, LEAST_RMS)))


def note_levels_db(audio: np.ndarray, notes: Notes) -> np.ndarray:
    """Returns the level of each note in dB, [n], onset to offset; notes must not overlap."""
    onsets = np.round(notes.onset_seconds * SAMPLE_RATE).astype(int)
    offsets = np.round(notes.offset_seconds * SAMPLE_RATE).astype(int)
    return np.array([level_db(audio[a:b]) for a, b in zip(onsets, offsets, strict=True)])


def block_energies(audio: np.ndarray) -> np.ndarray:
    """Returns the sum of squares and the number of samples of blocks of 0.5 s, [blocks, 2].

    The last block may be shorter.
    """
    size = round(BLOCK_SECONDS * SAMPLE_RATE)
    blocks = [audio[start : start + size] for start in range(0, len(audio), size)]
    return np.array([(np.sum(block.astype(np.float64) ** 2), len(block)) for block in blocks])


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
    silent = silent_notes(levels_db, reference_db)
    absolute = np.abs(differences)
    return Evenness(
        offset,
        float(np.median(absolute)),
        float(np.percentile(absolute, 95)),
        float(differences.std()),
        int(silent.sum()),
    )


def silent_notes(levels_db: np.ndarray, reference_db: np.ndarray) -> np.ndarray:
    """Returns True for notes 20 dB softer than the median difference, or inaudible, bool [n]."""
    differences = levels_db - reference_db
    too_soft = differences - np.median(differences) < SILENT_DB
    silent: np.ndarray = too_soft | (levels_db < _SILENCE_DB)
    return silent


def frame_change(log_mel: np.ndarray) -> float:
    """Returns the mean absolute change from frame to frame of features [frames, M]."""
    loud = np.maximum(log_mel.astype(np.float64), _QUIET)
    return float(np.abs(np.diff(loud, axis=0)).mean())
