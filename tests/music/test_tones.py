"""Harmonic tones at the pitches and times of notes."""

import itertools

import numpy as np
import pytest

from spectrodiff.music.tones import play_tones
from tests.support.notation import note_table

RATE = 16_000


def spectrum(audio):
    """Amplitudes of a second in bins of 1 Hz; a sine of amplitude 1 has 1 at its frequency."""
    return np.abs(np.fft.rfft(np.hanning(RATE) * audio)) * 4 / RATE


def tone(pitch, velocity=127, program=0, is_drum=False):
    return play_tones(note_table([(0.0, 2.0, pitch, velocity, program, is_drum)]), 8000, 24_000)


def test_partials_of_a_note():
    # Key 57 is the A at 220 Hz, whose partials lie on whole bins.
    amplitudes = spectrum(tone(57))
    for number in range(1, 35):
        near = amplitudes[220 * number - 3 : 220 * number + 4]
        assert near.argmax() == 3
        assert near[3] == pytest.approx(1 / number, rel=0.02)
    # The 34th is the last below 7.5 kHz.
    assert amplitudes[220 * 35 - 3 : 220 * 35 + 4].max() < 1e-3


def test_pitches_are_equally_tempered():
    # Key 58 is half a tone above: its waves turn by one more period in 1 / 13.082 s.
    second = tone(58)
    hertz = 220 * 2 ** (1 / 12)
    times = (8000 + np.arange(RATE)) / RATE
    turned = np.exp(-2j * np.pi * hertz * times) * second
    halves = np.angle(turned[:8000].sum()), np.angle(turned[8000:].sum())
    # The mean phase stays where it is: off by 1 cent, it would turn by 0.42 radians.
    assert abs(np.angle(np.exp(1j * (halves[1] - halves[0])))) < 0.02


def test_velocity_is_amplitude():
    np.testing.assert_allclose(tone(57, 64), tone(57) * 64 / 127, atol=1e-6)


def test_a_note_sounds_in_its_time_and_fades():
    audio = play_tones(note_table([(0.5, 1.0, 57, 127, 0, False)]), 0, 2 * RATE)
    assert audio.dtype == np.float32
    assert not audio[:8000].any()
    assert audio[8000:16_800].any()
    assert not audio[16_800:].any()  # 50 ms after its end
    steady = play_tones(note_table([(0.5, 9.0, 57, 127, 0, False)]), 0, 2 * RATE)
    np.testing.assert_allclose(audio[8000:16_000], steady[8000:16_000], atol=1e-6)
    # Half way through the release and the attack, it is half as loud.
    period = slice(16_400 - 36, 16_400 + 37)
    assert np.std(audio[period]) == pytest.approx(0.5 * np.std(steady[period]), rel=0.02)
    np.testing.assert_allclose(audio[8040], steady[8040 + 800 * 2] / 2, rtol=0.05)


def test_onsets_begin_at_the_same_phase():
    rows = [(start, start + 0.1, 61, 100, 0, False) for start in (0.0, 0.375, 1.0)]
    audio = play_tones(note_table(rows), 0, 2 * RATE)
    for start in (6000, 16_000):
        np.testing.assert_allclose(audio[start : start + 2400], audio[:2400], atol=2e-3)


def test_what_has_no_harmonics_is_silent():
    assert not tone(57, is_drum=True).any()
    assert not tone(127).any()  # 12.5 kHz
    assert tone(117).any()  # 7040 Hz: a single partial


def test_a_pitch_has_one_tone_at_a_time():
    """It is that of the note that began last, until 50 ms after its end."""
    long, short = (0.0, 2.0, 57, 100, 48, False), (0.5, 1.0, 57, 60, 73, False)
    both, alone, other = (
        play_tones(note_table(rows), 0, 3 * RATE) for rows in ([short, long], [long], [short])
    )
    np.testing.assert_array_equal(both[:8000], alone[:8000])
    np.testing.assert_array_equal(both[8000:16_800], other[8000:16_800])
    np.testing.assert_array_equal(both[16_800:], alone[16_800:])
    # Of notes that begin together, it is the loudest.
    unison = [(0.5, 1.0, 57, 60, 0, False), (0.5, 2.0, 57, 20, 1, False)]
    for rows in (unison, unison[::-1]):
        audio = play_tones(note_table(rows), 0, 3 * RATE)
        np.testing.assert_array_equal(audio[:16_800], other[:16_800])
        soft = play_tones(note_table(unison[1:]), 0, 3 * RATE)
        np.testing.assert_array_equal(audio[16_800:], soft[16_800:])
    # Other pitches are other tones.
    third = (0.5, 1.0, 61, 60, 0, False)
    np.testing.assert_allclose(
        play_tones(note_table([long, third]), 0, 3 * RATE),
        alone + play_tones(note_table([third]), 0, 3 * RATE),
        atol=1e-6,
    )


def test_parts_are_the_whole():
    rng = np.random.default_rng(1)
    columns = rng.uniform(0, 3, 60), rng.uniform(0.05, 2, 60), rng.integers(50, 60, 60)
    rows = [
        (onset, onset + seconds, int(pitch), 90, 0, False)
        for onset, seconds, pitch in zip(*columns, strict=True)
    ]
    notes = note_table(rows)
    whole = play_tones(notes, 0, 80_000)
    edges = [0, 1, 320, 16_000, 16_001, 47_123, 80_000]
    parts = [play_tones(notes, first, last) for first, last in itertools.pairwise(edges)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
