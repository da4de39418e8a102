"""Harmonic tones at the pitches and times of notes."""

import functools

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.notes import Notes

HIGHEST_HERTZ = 7500.0
"""Highest frequency of a partial."""

ATTACK_SECONDS, RELEASE_SECONDS = 0.005, 0.05
"""Time in which a tone gets loud, and time from the end of its note until it is silent."""

# Samples of a period; the nearest one is taken.
_PERIOD = 1 << 14


def play_tones(notes: Notes, start: int, stop: int) -> np.ndarray:
    """Plays the notes of a song as harmonic tones.

    Partial k has the amplitude 1 / k and a random phase, the same in all tones at their onsets. A
    pitch has one tone at a time, that of the note that began last, whatever plays it. Drums are
    silent.

    Args:
        notes: the song.
        start: first sample, at 16 kHz from the beginning of the song.
        stop: sample after the last one.

    Returns:
        float32 [stop - start]; a tone of velocity 127 has a fundamental of amplitude 1.
    """
    audio = np.zeros(stop - start)
    first, last = start / SAMPLE_RATE, stop / SAMPLE_RATE
    sounding = (notes.onset_seconds < last) & (notes.offset_seconds + RELEASE_SECONDS > first)
    notes = notes.select(sounding & ~notes.is_drum)
    # Of notes that begin together, the loudest comes last.
    notes = notes.select(np.lexsort((notes.velocity, notes.onset_seconds, notes.pitch)))
    for pitch in np.unique(notes.pitch):
        tones = np.zeros_like(audio)
        same = notes.select(notes.pitch == pitch)
        columns = (same.onset_seconds, same.offset_seconds + RELEASE_SECONDS, same.velocity)
        for onset, end, velocity in zip(*columns, strict=True):
            begin = max(int(np.ceil(onset * SAMPLE_RATE)), start)
            until = min(int(np.ceil(end * SAMPLE_RATE)), stop)
            times = np.arange(begin, until) / SAMPLE_RATE
            tone = velocity / 127 * _tone(int(pitch), times - onset, end - times)
            tones[begin - start : until - start] = tone
        audio += tones
    return audio.astype(np.float32)


def _tone(pitch: int, seconds: np.ndarray, seconds_left: np.ndarray) -> np.ndarray:
    """Returns a tone at times after its onset and before its end, float64 [samples]."""
    hertz = 440.0 * 2.0 ** ((pitch - 69) / 12)
    places = np.rint(seconds * hertz * _PERIOD).astype(np.int64) % _PERIOD
    gain = np.minimum(seconds / ATTACK_SECONDS, seconds_left / RELEASE_SECONDS)
    return np.minimum(gain, 1.0) * _period(int(HIGHEST_HERTZ / hertz))[places]


@functools.cache
def _period(partials: int) -> np.ndarray:
    """Returns a period of a tone with partials 1 to `partials`."""
    numbers = np.arange(1, partials + 1)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, partials)
    spectrum = np.zeros(_PERIOD // 2 + 1, np.complex128)
    spectrum[numbers] = np.exp(1j * phases) / numbers * (_PERIOD / 2)
    return np.fft.irfft(spectrum)
