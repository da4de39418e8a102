"""Detection of notes and drum hits in audio."""

import zlib

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.basic_pitch import BasicPitch
from spectrodiff.evaluation.metrics.transcription_scores import Agreement, score_onsets
from spectrodiff.music.notes import Notes

TOLERANCE_SECONDS = 0.05
PEAK = 0.5  # what basic-pitch itself takes for a beginning note

_LOWEST_PITCH = 21
_PEAK_SECONDS = 0.1
_BASIC_PITCH_RATE = 22_050
_HIT_HOP_SAMPLES = 160
_PEAK_RISE = 0.07


class Listener:
    """basic-pitch, and what it makes of music too fast for its notes.

    Raises:
        CheckpointError: if basic-pitch is not installed.
    """

    def __init__(self) -> None:
        self._transcribe = BasicPitch()
        self._heard: dict[int, Notes] = {}  # by checksum of the audio, as references come again

    def agreement(self, written: Notes, audio: np.ndarray) -> Agreement:
        """F1 of pitches and onsets within 50 ms; drums do not count."""
        checksum = zlib.crc32(audio.tobytes())
        if checksum not in self._heard:
            self._heard[checksum] = self._transcribe(audio)
        return score_onsets(written, self._heard[checksum])

    def dense_recall(self, written: Notes, audio: np.ndarray) -> float:
        """The share of written notes at whose onsets basic-pitch hears their pitches begin.

        Its notes last 128 ms at least, so that of ten repetitions a second it could find half.
        Here every peak of its onset activations counts, whatever follows.
        """
        import librosa
        from basic_pitch.note_creation import model_frames_to_time

        resampled = librosa.resample(audio, orig_sr=SAMPLE_RATE, target_sr=_BASIC_PITCH_RATE)
        _, activations = self._transcribe.activations(resampled)
        heard = peaks_as_notes(activations, model_frames_to_time(len(activations)))
        return score_onsets(written, heard).recall


def peaks_as_notes(activations: np.ndarray, seconds: np.ndarray) -> Notes:
    """Every local maximum over time of at least 0.5, as a note of a tenth of a second.

    Args:
        activations: [frames, 88], of the pitches from 21 on.
        seconds: the time of each frame, [frames].
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


def hits_heard(audio: np.ndarray) -> np.ndarray:
    """Seconds of the onsets, [n], that a detector by spectral flux finds.

    The flux and the rule for its peaks are those of librosa's detector. The rule is written out
    here, because compiled, as librosa has it, it can crash when it comes from numba's cache.
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
    """Frames, 10 ms each, in which a flux between 0 and 1 is largest among its neighbours.

    That is: largest of the last 30 ms, 0.07 above the mean of 100 ms on either side, and more than
    30 ms after the peak before (Boeck, Krebs and Schedl, ISMIR 2012, as librosa sets it).
    """
    peaks: list[int] = []
    for frame, height in enumerate(flux):
        is_largest = height >= flux[max(0, frame - 3) : frame + 1].max()
        around = flux[max(0, frame - 10) : frame + 11].mean()
        is_late = not peaks or frame - peaks[-1] > 3
        if is_largest and height >= around + _PEAK_RISE and is_late:
            peaks.append(frame)
    return np.array(peaks, int)


def hits_f1(written_seconds: np.ndarray, heard_seconds: np.ndarray) -> float:
    """F1 of onsets that pair up one to one within 50 ms; 0 where nothing does."""
    from mir_eval.util import match_events

    if not len(written_seconds) or not len(heard_seconds):
        return 0.0
    pairs = match_events(written_seconds, heard_seconds, TOLERANCE_SECONDS)
    return 2 * len(pairs) / (len(written_seconds) + len(heard_seconds))


def drum_hits(notes: Notes) -> np.ndarray:
    """When drums are struck, in seconds, [n]; what is struck together is one hit."""
    return np.unique(notes.onset_seconds[notes.is_drum])
