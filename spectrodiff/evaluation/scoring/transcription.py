"""Metric of a transcriber: agreement of the notes that it hears with those of the song."""

from collections.abc import Mapping

from spectrodiff.evaluation.columns import (
    DRUM_F1,
    F1,
    NONDRUM_F1,
    ONSET_F1,
    ONSET_OFFSET_F1,
    identifier,
)
from spectrodiff.evaluation.metrics.minutes import Score, count_minutes, notes_by_minute
from spectrodiff.evaluation.metrics.transcription.scores import (
    Agreement,
    score_onsets,
    score_transcription,
)
from spectrodiff.evaluation.metrics.transcription.transcriber import Transcriber
from spectrodiff.evaluation.scoring.metric import Comparison, MeanOverSongs
from spectrodiff.music.notes import Notes


class TranscriptionMetric(MeanOverSongs):
    """F1 of the notes that a transcriber finds in the audio.

    A transcriber that does not recognize programs is scored without instruments and drums. A score
    of drums is that of the songs with drums; under the protocol "released" it is 0 for the others,
    as in the published code, so that means over songs are lower there.

    Args:
        transcriber: the transcriber.
        checksum: checksum of its weights.
    """

    def __init__(self, transcriber: Transcriber, checksum: str) -> None:
        self._transcriber = transcriber
        self.id = identifier(transcriber.name, checksum)
        with_programs = (*F1.values(), NONDRUM_F1, DRUM_F1) if transcriber.tells_programs else ()
        self.columns = (*with_programs, ONSET_F1, ONSET_OFFSET_F1)

    def __call__(self, comparison: Comparison) -> dict[str, Score]:
        """Computes the F1 of the song, and of the notes with onsets in each of its minutes."""
        notes, found = comparison.song.reference, self._transcriber(comparison.audio)
        agreements = self._agreements(notes, found)
        if comparison.protocol.is_released:
            return comparison.with_excerpts(
                _released_f1(agreements),
                lambda excerpt: _released_f1(
                    self._agreements(excerpt.reference, self._transcriber(excerpt.audio))
                ),
            )
        count = count_minutes(len(comparison.song.audio))
        by_minute = [
            self._agreements(reference, estimate)
            for reference, estimate in zip(
                notes_by_minute(notes, count), notes_by_minute(found, count), strict=True
            )
        ]
        return {
            column: Score(_f1(agreement), [_f1(minute[column]) for minute in by_minute])
            for column, agreement in agreements.items()
        }

    def _agreements(self, reference: Notes, estimate: Notes) -> dict[str, Agreement]:
        scores = score_transcription(reference, estimate)
        agreements = {}
        if self._transcriber.tells_programs:
            agreements = {F1[name].name: score.all for name, score in scores.items()}
            agreements[NONDRUM_F1.name] = scores["full"].nondrums
            agreements[DRUM_F1.name] = scores["full"].drums
        return agreements | {
            ONSET_F1.name: score_onsets(reference, estimate),
            ONSET_OFFSET_F1.name: scores["flat"].nondrums,
        }


def _released_f1(agreements: Mapping[str, Agreement]) -> dict[str, float | None]:
    return {column: agreement.f1 for column, agreement in agreements.items()}


def _f1(agreement: Agreement) -> float | None:
    # Undefined where there are no notes and none are found.
    return agreement.f1 if agreement.references or agreement.estimates else None
