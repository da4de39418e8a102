"""Harmonic tones that lend their phases to the inversion of features."""

import types

import numpy as np
import pytest

import spectrodiff as sd
from tests.support.notation import note_table

RATE = 16_000
HERTZ = 440 * 2 ** (-26 / 12)  # of key 43, 98 Hz
TONE = note_table([(0.5, 2.5, 43, 127, 0, False), (1.0, 1.1, 38, 100, 0, True)], total_seconds=3.0)


@pytest.fixture(scope="module")
def score_phase(benchmark):
    return benchmark("score_phase")


def hertz(audio):
    """Returns the frequency of the highest peak, from its phase in windows 10 ms apart."""
    window = np.hanning(RATE)
    first, second = (np.fft.rfft(window * audio[s : s + RATE]) for s in (RATE, RATE + 160))
    peak = int(np.abs(first).argmax())
    turned = np.angle(second[peak] / first[peak]) - 2 * np.pi * peak * 0.01
    return peak + (turned - 2 * np.pi * round(turned / (2 * np.pi))) / (2 * np.pi * 0.01)


def test_a_note_has_its_harmonics_while_it_sounds(score_phase):
    audio = score_phase.play(TONE, 3 * RATE)
    assert not audio[: RATE // 2].any()
    assert not audio[round(2.55 * RATE) :].any()
    assert hertz(audio) == pytest.approx(HERTZ, abs=0.01)
    # Bins of a second are 1 Hz apart; the second harmonic has half the amplitude.
    spectrum = np.abs(np.fft.rfft(np.hanning(RATE) * audio[RATE : 2 * RATE]))
    assert spectrum[196] / spectrum[98] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("iterations", [0, 4])
def test_a_tone_keeps_its_pitch_and_its_place(score_phase, iterations):
    played = score_phase.play(TONE, 3 * RATE)
    log_mel = np.asarray(sd.log_mel(played))
    song = types.SimpleNamespace(notes=TONE)
    audio = score_phase.guided(iterations)(song, log_mel)
    assert len(audio) == len(log_mel) * 320
    assert abs(1200 * np.log2(hertz(audio) / HERTZ)) < 1  # cents
    # Waves coincide: a shift by a quarter of a period would leave no correlation.
    inside = slice(RATE, 2 * RATE)
    assert np.corrcoef(audio[inside], played[inside])[0, 1] > 0.9
