"""Distances between renderings and recordings of the same notes."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import spectrodiff as sd
from spectrodiff.audio.files import write_audio
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.folders.distance import folder_distance
from spectrodiff.evaluation.metrics.embeddings.log_mel_statistics import LogMelStatistics
from spectrodiff.evaluation.metrics.signal_distances import (
    AUDIBLE_RANGE,
    aligned_log_mel_l1,
    blockwise_log_mel,
    level_offset,
)
from spectrodiff.evaluation.metrics.transcription.scores import Agreement, score_onsets
from spectrodiff.evaluation.metrics.transcription.transcriber import Transcriber

Songs = Mapping[str, np.ndarray]  # float32 [samples] at 16 kHz, by name


@dataclasses.dataclass(frozen=True)
class Distances:
    """Distances of renderings to recordings.

    Attributes:
        log_mel_l1: mean absolute difference of log-mel spectrograms of equal level.
        frechet: Frechet distance of the statistics of their log-mel spectrograms.
        change: mean absolute change of log-mel between frames, relative to that of the recordings.
        onset_f1: F1 of the notes that are heard in the renderings; None without a transcriber.
    """

    log_mel_l1: float
    frechet: float
    change: float
    onset_f1: float | None


def measure(
    folder: Path,
    renderings: Songs,
    recordings: Songs,
    notes: Mapping[str, sd.Notes],
    transcriber: Transcriber | None,
) -> Distances:
    """Measures renderings, and writes them beside the recordings.

    Args:
        folder: where both are written, in subfolders.
        renderings: audio of a model.
        recordings: audio of the instrument.
        notes: what both play.
        transcriber: hears the notes of the renderings; None to leave that out.
    """
    scores, changes, agreement = [], [], Agreement(0, 0, 0)
    for name, audio in renderings.items():
        write_audio(folder / "rendered" / f"{name}.wav", audio, SAMPLE_RATE)
        write_audio(folder / "recorded" / f"{name}.wav", recordings[name], SAMPLE_RATE)
        rendered, recorded = (blockwise_log_mel(song) for song in (audio, recordings[name]))
        scores.append(aligned_log_mel_l1(rendered, recorded).whole)
        changes.append([audible_change(rendered, recorded), audible_change(recorded, recorded)])
        if transcriber is not None:
            agreement += score_onsets(notes[name], transcriber(audio))
    distance = folder_distance(
        folder / "rendered", folder / "recorded", LogMelStatistics(), replicates=0
    )
    onset_f1 = agreement.f1 if transcriber is not None else None
    ours, theirs = np.mean(changes, axis=0)
    return Distances(float(np.mean(scores)), distance.distance, float(ours / theirs), onset_f1)


def audible_change(log_mel: np.ndarray, recorded: np.ndarray) -> float:
    """Returns the mean absolute change between frames, at the level of a recording.

    Args:
        log_mel: unscaled features [frames, M].
        recorded: those of the recording; what is 80 dB below its maximum is not audible.
    """
    frames = min(len(log_mel), len(recorded))
    aligned = log_mel[:frames] + level_offset(log_mel[:frames], recorded[:frames])
    audible = np.maximum(aligned, recorded.max() - AUDIBLE_RANGE)
    return float(np.abs(np.diff(audible, axis=0)).mean())
