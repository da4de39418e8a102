"""Detection of notes and drum hits in audio."""

import zlib
from collections.abc import Sequence

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.transcription.basic_pitch import BasicPitch
from spectrodiff.evaluation.metrics.transcription.scores import Agreement, score_onsets
from spectrodiff.music.notes import Notes

from .pitch import frequency_hz

TOLERANCE_SECONDS = 0.05
PEAK = 0.5  # threshold of onsets in basic-pitch

# Length of the windows in which pairs are counted.
WINDOW_SECONDS = 0.5

_LOWEST_PITCH = 21
_PEAK_SECONDS = 0.1
_BASIC_PITCH_RATE = 22_050
_HIT_HOP_SAMPLES = 160
_PEAK_RISE = 0.07


class NoteDetector:
    """Detection of notes by basic-pitch, and of onsets in music too fast for its notes.

    Raises:
        CheckpointError: if basic-pitch is not installed.
    """

    def __init__(self) -> None:
        self._transcribe = BasicPitch()
        # By checksum, because references are repeated.
        self._detected: dict[int, Notes] = {}
        self._peaks: dict[int, Notes] = {}

    def agreement(self, written: Notes, audio: np.ndarray) -> Agreement:
        """Returns the scores of pitches and onsets within 50 ms, without drums."""
        return score_onsets(written, self._notes(audio))

    def agreement_windows(self, written: Notes, audio: np.ndarray) -> np.ndarray:
        """Returns the counts of `agreement` by windows, [windows, 3] (see `count_windows`)."""
        return onset_windows(written, self._notes(audio))

    def dense_recall(self, written: Notes, audio: np.ndarray) -> float:
        """Returns the fraction of notes with a peak of basic-pitch's onset activations.

        The notes of basic-pitch last at least 128 ms, so it could find only half of ten repetitions
        per second. Peaks of its onset activations have no such limit.
        """
        return score_onsets(written, self._onset_peaks(audio)).recall

    def dense_windows(self, written: Notes, audio: np.ndarray) -> np.ndarray:
        """Returns the counts of `dense_recall` by windows, [windows, 3] (see `count_windows`)."""
        return onset_windows(written, self._onset_peaks(audio))

    def _notes(self, audio: np.ndarray) -> Notes:
        checksum = zlib.crc32(audio.tobytes())
        if checksum not in self._detected:
            self._detected[checksum] = self._transcribe(audio)
        return self._detected[checksum]

    def _onset_peaks(self, audio: np.ndarray) -> Notes:
        import librosa
        from basic_pitch.note_creation import model_frames_to_time

        checksum = zlib.crc32(audio.tobytes())
        if checksum not in self._peaks:
            resampled = librosa.resample(audio, orig_sr=SAMPLE_RATE, target_sr=_BASIC_PITCH_RATE)
            _, activations = self._transcribe.activations(resampled)
            seconds = model_frames_to_time(len(activations))
            self._peaks[checksum] = peaks_as_notes(activations, seconds)
        return self._peaks[checksum]


def peaks_as_notes(activations: np.ndarray, seconds: np.ndarray) -> Notes:
    """Returns a note of 0.1 s for each local maximum over time of at least 0.5.

    Args:
        activations: [frames, 88] of the pitches from 21.
        seconds: time of each frame, [frames].
    """
    padded = np.pad(activations, ((1, 1), (0, 0)))
    before, after = padded[:-2], padded[2:]
    peaks = (activations >= PEAK) & (activations > before) & (activations >= after)
    frames, keys = np.nonzero(peaks)
    onsets = np.maximum(seconds[frames], 0)
    return Notes(
        onset_seconds=onsets,
        offset_seconds=onsets + _PEAK_SECONDS,
        pitch=keys + _LOWEST_PITCH,
        velocity=np.full(len(keys), 80),
        program=np.zeros(len(keys), np.int32),
        is_drum=np.zeros(len(keys), np.bool_),
    )


def detect_hits(audio: np.ndarray) -> np.ndarray:
    """Returns the times of onsets in seconds, [n], found by spectral flux.

    Flux and peaks are those of librosa's detector. The peak picking is written out here, because
    librosa's compiled version can crash when it is loaded from numba's cache.
    """
    import librosa

    if not np.any(audio):
        return np.zeros(0)
    flux = librosa.onset.onset_strength(
        y=audio.astype(np.float32), sr=SAMPLE_RATE, hop_length=_HIT_HOP_SAMPLES
    )
    flux = flux - flux.min()
    if not flux.any():
        return np.zeros(0)
    return flux_peaks(flux / flux.max()) * _HIT_HOP_SAMPLES / SAMPLE_RATE


def flux_peaks(flux: np.ndarray) -> np.ndarray:
    """Returns the frames, of 10 ms, of peaks of a flux between 0 and 1.

    A peak is the maximum of the last 30 ms, at least 0.07 above the mean of 100 ms on either side,
    and more than 30 ms after the previous peak (Boeck, Krebs and Schedl, ISMIR 2012, with the
    settings of librosa).
    """
    peaks: list[int] = []
    for frame, height in enumerate(flux):
        is_largest = height >= flux[max(0, frame - 3) : frame + 1].max()
        around = flux[max(0, frame - 10) : frame + 11].mean()
        is_late = not peaks or frame - peaks[-1] > 3
        if is_largest and height >= around + _PEAK_RISE and is_late:
            peaks.append(frame)
    return np.array(peaks, int)


def hits_f1(written_seconds: np.ndarray, detected_seconds: np.ndarray) -> float:
    """Returns the F1 of onsets that are matched one to one within 50 ms; 0 if none are."""
    from mir_eval.util import match_events

    if not len(written_seconds) or not len(detected_seconds):
        return 0.0
    pairs = match_events(written_seconds, detected_seconds, TOLERANCE_SECONDS)
    return 2 * len(pairs) / (len(written_seconds) + len(detected_seconds))


def hit_windows(written_seconds: np.ndarray, detected_seconds: np.ndarray) -> np.ndarray:
    """Returns the counts of `hits_f1` by windows, [windows, 3] (see `count_windows`)."""
    from mir_eval.util import match_events

    pairs: list[tuple[int, int]] = []
    if len(written_seconds) and len(detected_seconds):
        pairs = match_events(written_seconds, detected_seconds, TOLERANCE_SECONDS)
    return count_windows(written_seconds, detected_seconds, pairs)


def onset_windows(written: Notes, detected: Notes) -> np.ndarray:
    """Returns the counts of `score_onsets` by windows, [windows, 3] (see `count_windows`)."""
    from mir_eval.transcription import match_notes

    # As there, drums and notes without duration do not count.
    sides = [
        notes.select(~notes.is_drum & (notes.offset_seconds > notes.onset_seconds))
        for notes in (written, detected)
    ]
    pairs: list[tuple[int, int]] = []
    if all(map(len, sides)):
        arguments: list[np.ndarray] = []
        for notes in sides:
            arguments.append(np.stack([notes.onset_seconds, notes.offset_seconds], axis=1))
            arguments.append(frequency_hz(notes.pitch))
        pairs = match_notes(*arguments, onset_tolerance=TOLERANCE_SECONDS, offset_ratio=None)
    return count_windows(sides[0].onset_seconds, sides[1].onset_seconds, pairs)


def count_windows(
    written_seconds: np.ndarray,
    detected_seconds: np.ndarray,
    pairs: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Counts pairs, written onsets and detected onsets in windows of 0.5 s.

    A detected onset that has a partner counts in the window of its partner. Windows without a
    written onset are joined to the last one before that has one, so that the windows are the same
    for all renderings of a song.

    Args:
        written_seconds: [n].
        detected_seconds: [m].
        pairs: indices of matched onsets.

    Returns:
        float64 [windows, 3], whose sums are the counts of the whole song.
    """
    if not len(written_seconds):
        return np.zeros((0, 3))
    matched = np.array(pairs, int).reshape(-1, 2)
    detected_seconds = np.array(detected_seconds, np.float64)
    detected_seconds[matched[:, 1]] = written_seconds[matched[:, 0]]
    starts = np.unique(np.floor_divide(written_seconds, WINDOW_SECONDS)) * WINDOW_SECONDS
    columns = []
    for seconds in (written_seconds[matched[:, 0]], written_seconds, detected_seconds):
        windows = np.maximum(np.searchsorted(starts, seconds, side="right") - 1, 0)
        columns.append(np.bincount(windows, minlength=len(starts)))
    return np.stack(columns, axis=1).astype(np.float64)


def drum_hits(notes: Notes) -> np.ndarray:
    """Returns the times of drum hits in seconds, [n]; simultaneous notes are one hit."""
    return np.unique(notes.onset_seconds[notes.is_drum])
