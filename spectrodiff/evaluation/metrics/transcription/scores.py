"""Agreement of transcribed notes with the notes of the song.

A reference note and an estimated one match if they have the same pitch and the same instrument,
their onsets are at most 50 ms apart and, unless they are drums, their offsets at most 50 ms or a
fifth of the reference note's duration, whichever is more. Each note matches one other at most.
These are the "onset + offset + program" scores of MT3 (arXiv:2111.03017). MT3 weights precision and
recall of each instrument by its number of notes, which equals counting the pairs of all instruments
together.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import map_program_numbers

Granularity = Literal["flat", "midi_class", "full"]

GRANULARITIES: tuple[Granularity, ...] = ("flat", "midi_class", "full")

ONSET_TOLERANCE_SECONDS = 0.05
OFFSET_TOLERANCE_SECONDS = 0.05
OFFSET_TOLERANCE_RATIO = 0.2  # of the reference note's duration

_DRUMS = -1  # program of all drums
_ANY_HZ = 440.0


@dataclass(frozen=True)
class Agreement:
    """Numbers of notes and of matching pairs; can be added over songs or instruments."""

    pairs: int
    references: int
    estimates: int

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(
            self.pairs + other.pairs,
            self.references + other.references,
            self.estimates + other.estimates,
        )

    @property
    def precision(self) -> float:
        """Fraction of the estimated notes that match; 0 if there are none."""
        return self.pairs / self.estimates if self.estimates else 0.0

    @property
    def recall(self) -> float:
        """Fraction of the reference notes that were found; 0 if there are none."""
        return self.pairs / self.references if self.references else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if nothing matches."""
        return 2 * self.pairs / (self.references + self.estimates) if self.pairs else 0.0


@dataclass(frozen=True)
class TranscriptionScores:
    """Agreement of the notes of one song at one granularity of programs."""

    drums: Agreement
    nondrums: Agreement

    @property
    def all(self) -> Agreement:
        """Agreement of all notes; at "full" its F1 is the one in the paper's tables."""
        return self.drums + self.nondrums


def score_transcription(
    reference: Notes, estimate: Notes
) -> dict[Granularity, TranscriptionScores]:
    """Compares the notes of a song with the transcription of its audio.

    Args:
        reference: notes of the song.
        estimate: notes of the transcriber.

    Returns:
        Scores by granularity: "flat" distinguishes only drums from other notes, "midi_class" also
        the families of eight programs, "full" all programs.
    """
    return {
        granularity: TranscriptionScores(
            drums=_agreement(reference, estimate, granularity, drums=True),
            nondrums=_agreement(reference, estimate, granularity, drums=False),
        )
        for granularity in GRANULARITIES
    }


def score_onsets(reference: Notes, estimate: Notes) -> Agreement:
    """Compares only pitches and onsets, of all notes that are not drums.

    For transcribers that recognize neither instruments nor drums, and offsets less well. Two
    instruments in unison are two reference notes, of which such a transcriber finds one.
    """
    return _agreement(reference, estimate, "flat", drums=False, offsets=False)


def _agreement(
    reference: Notes,
    estimate: Notes,
    granularity: Granularity,
    *,
    drums: bool,
    offsets: bool = True,
) -> Agreement:
    references = _intervals_by_key(reference, granularity, drums)
    estimates = _intervals_by_key(estimate, granularity, drums)
    # Only notes of the same key can match, so keys are matched separately. Matching them together
    # would need a table of all reference notes times all estimated notes.
    pairs = sum(
        _count_pairs(references[key], estimates[key], offsets=offsets and not drums)
        for key in references.keys() & estimates.keys()
    )
    return Agreement(
        pairs,
        sum(map(len, references.values())),
        sum(map(len, estimates.values())),
    )


def _intervals_by_key(
    notes: Notes, granularity: Granularity, drums: bool
) -> dict[tuple[int, int], np.ndarray]:
    """Returns onsets and offsets [n, 2] of the notes of each (program, pitch)."""
    # As in the published scores, notes without duration do not count.
    wanted = (notes.is_drum == drums) & (notes.offset_seconds > notes.onset_seconds)
    notes = notes.select(wanted)
    programs = map_program_numbers(notes.program, granularity)
    programs = np.where(notes.is_drum, _DRUMS, programs)
    intervals = np.stack([notes.onset_seconds, notes.offset_seconds], axis=1)
    keys, rows = np.unique(np.stack([programs, notes.pitch], axis=1), axis=0, return_inverse=True)
    return {(int(key[0]), int(key[1])): intervals[rows == row] for row, key in enumerate(keys)}


def _count_pairs(references: np.ndarray, estimates: np.ndarray, *, offsets: bool) -> int:
    from mir_eval.transcription import match_notes

    pairs = match_notes(
        references,
        np.full(len(references), _ANY_HZ),
        estimates,
        np.full(len(estimates), _ANY_HZ),
        onset_tolerance=ONSET_TOLERANCE_SECONDS,
        offset_ratio=OFFSET_TOLERANCE_RATIO if offsets else None,
        offset_min_tolerance=OFFSET_TOLERANCE_SECONDS,
    )
    return len(pairs)
