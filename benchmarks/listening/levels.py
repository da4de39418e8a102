"""Measures of loudness: of notes, of phrases, and of spectrograms apart from their loudness."""

from typing import NamedTuple

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.notes import Notes

# Log-mel features this far below the loudest of the reference are inaudible beside it: 80 dB.
AUDIBLE_RANGE = 80 / 20 * np.log(10)
SILENT_DB = -20.0
# Of full scale. Below it a note is silent whatever the others do.
_SILENCE_DB = -80.0
_LEAST_RMS = 1e-7


def level_db(audio: np.ndarray) -> float:
    """RMS in dB of full scale; -140 for silence."""
    rms = np.sqrt(np.mean(audio.astype(np.float64) ** 2)) if len(audio) else 0.0
    return float(20 * np.log10(max(rms, _LEAST_RMS)))


def level_offset(log_mel: np.ndarray, reference: np.ndarray) -> float:
    """Offset that makes a spectrogram as loud as the reference.

    That is the median difference where the reference is at most 80 dB below its loudest.

    Args:
        log_mel: unscaled [frames, M].
        reference: of the same shape.
    """
    audible = reference > reference.max() - AUDIBLE_RANGE
    return float(np.median(reference[audible] - log_mel[audible])) if audible.any() else 0.0


def aligned_l1(log_mel: np.ndarray, reference: np.ndarray) -> float:
    """Mean absolute difference of log-mel spectrograms once they are equally loud.

    What lies more than 80 dB below the loudest of the reference counts as that.

    Args:
        log_mel: unscaled [frames, M].
        reference: [frames, M]; frames that one has more are left out.
    """
    frames = min(len(log_mel), len(reference))
    ours, theirs = log_mel[:frames].astype(np.float64), reference[:frames].astype(np.float64)
    ours = ours + level_offset(ours, theirs)
    floor = theirs.max() - AUDIBLE_RANGE
    return float(np.abs(np.maximum(ours, floor) - np.maximum(theirs, floor)).mean())


def note_levels_db(audio: np.ndarray, notes: Notes) -> np.ndarray:
    """The level of each note, [n], from its onset to its offset; notes must not overlap."""
    onsets = np.round(notes.onset_seconds * SAMPLE_RATE).astype(int)
    offsets = np.round(notes.offset_seconds * SAMPLE_RATE).astype(int)
    return np.array([level_db(audio[a:b]) for a, b in zip(onsets, offsets, strict=True)])


class Evenness(NamedTuple):
    """Differences in level of single notes from the reference.

    Attributes:
        offset_db: the median difference, which the others leave out.
        median_db: of absolute differences.
        high_db: their 95th percentile.
        spread_db: standard deviation of the differences.
        silent: how many notes are more than 20 dB too soft, or not to be heard at all.
    """

    offset_db: float
    median_db: float
    high_db: float
    spread_db: float
    silent: int


def evenness(levels_db: np.ndarray, reference_db: np.ndarray) -> Evenness:
    """Compares the levels of the same notes, [n] each."""
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
