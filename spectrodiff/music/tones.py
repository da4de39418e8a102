"""Harmonic tones at the pitches and times of notes."""

import functools

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.notes import Notes

HIGHEST_HERTZ = 7500.0
"""Highest frequency of a partial."""

ATTACK_SECONDS, RELEASE_SECONDS = 0.005, 0.05
"""Time in which a tone gets loud, and time from the end of its note until it is silent."""

# First General MIDI program of the percussive instruments and sound effects, without harmonics.
_FIRST_NOISE = 112

# Samples of a period; the nearest one is taken.
_PERIOD = 1 << 14


def play_tones(notes: Notes, start: int, stop: int) -> np.ndarray:
    """Plays the notes of a song as harmonic tones.

    Partial k has the amplitude 1 / k and a random phase, the same in all tones at their onsets.
    Drums, percussive instruments and sound effects are silent.

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
    sounding &= ~notes.is_drum & (notes.program < _FIRST_NOISE)
    for onset, offset, pitch, velocity in zip(
        notes.onset_seconds[sounding],
        notes.offset_seconds[sounding],
        notes.pitch[sounding],
        notes.velocity[sounding],
        strict=True,
    ):
        hertz = 440.0 * 2.0 ** ((pitch - 69) / 12)
        partials = int(HIGHEST_HERTZ / hertz)
        if not partials:
            continue
        begin = max(int(np.ceil(onset * SAMPLE_RATE)), start)
        end = min(int(np.ceil((offset + RELEASE_SECONDS) * SAMPLE_RATE)), stop)
        times = np.arange(begin, end) / SAMPLE_RATE
        seconds = times - onset
        fade_out = (offset + RELEASE_SECONDS - times) / RELEASE_SECONDS
        gain = velocity / 127 * np.minimum(np.minimum(seconds / ATTACK_SECONDS, fade_out), 1.0)
        places = np.rint(seconds * hertz * _PERIOD).astype(np.int64) % _PERIOD
        audio[begin - start : end - start] += gain * _period(partials)[places]
    return audio.astype(np.float32)


@functools.cache
def _period(partials: int) -> np.ndarray:
    """Returns a period of a tone with partials 1 to `partials`."""
    numbers = np.arange(1, partials + 1)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, partials)
    spectrum = np.zeros(_PERIOD // 2 + 1, np.complex128)
    spectrum[numbers] = np.exp(1j * phases) / numbers * (_PERIOD / 2)
    return np.fft.irfft(spectrum)
