"""How well transcribed notes agree with those that were to be played.

A reference note and an estimated one agree if they have the same pitch and the same instrument,
their onsets are at most 50 ms apart and, unless they are drums, their offsets at most 50 ms or a
fifth of the reference note's duration, whichever is more. Each note agrees with one other at most.
These are the "onset + offset + program" scores of MT3 (arXiv:2111.03017), where
precision and recall of each instrument are weighted by its numbers of notes: which is the same as
counting the pairs of all instruments together.
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

_DRUMS = -1  # stands for the program of all drums
_ANY_HZ = 440.0


@dataclass(frozen=True)
class Agreement:
    """Numbers of notes; their sums over songs or instruments are of the same kind."""

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
        """The share of the estimated notes that are right; 0 where there are none."""
        return self.pairs / self.estimates if self.estimates else 0.0

    @property
    def recall(self) -> float:
        """The share of the reference notes that were found; 0 where there are none."""
        return self.pairs / self.references if self.references else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where nothing agrees."""
        return 2 * self.pairs / (self.references + self.estimates) if self.pairs else 0.0


@dataclass(frozen=True)
class TranscriptionScores:
    """Agreement of one song's notes when programs count as alike at one granularity."""

    drums: Agreement
    nondrums: Agreement

    @property
    def all(self) -> Agreement:
        """Of drums and all else together: what the paper's tables call F1, at "full"."""
        return self.drums + self.nondrums


def score_transcription(
    reference: Notes, estimate: Notes
) -> dict[Granularity, TranscriptionScores]:
    """Compares the notes of a song with what was heard in its audio.

    Args:
        reference: the notes that were to be played.
        estimate: the transcriber's notes.

    Returns:
        Scores by granularity of the programs: "flat" tells only drums from all else, "midi_class"
        also the families of eight programs, "full" every program.
    """
    return {
        granularity: TranscriptionScores(
            drums=_agreement(reference, estimate, granularity, drums=True),
            nondrums=_agreement(reference, estimate, granularity, drums=False),
        )
        for granularity in GRANULARITIES
    }


def score_onsets(reference: Notes, estimate: Notes) -> Agreement:
    """Compares pitches and onsets alone, of what is no drum, whatever instrument plays it.

    For transcribers that know neither instruments nor drums, and hear ends less well. Two
    instruments in unison are two notes of the reference, of which such a transcriber finds one.
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
    # Only notes of one key can agree, so keys can be matched apart; the whole song at once would
    # take a table of all its notes times all its notes.
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
    """Onsets and offsets [n, 2] of the notes of each (program, pitch)."""
    # As in the published scores, what has no duration is no note.
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
