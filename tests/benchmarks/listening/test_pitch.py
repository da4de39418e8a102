"""Tests of the pitch error of notes."""

import numpy as np
import pytest

from tests.support.sounds import RATE, sharper, tone


def test_frequencies_of_pitches():
    from listening.pitch import frequency_hz

    expected = [440, 880, 261.625565, 27.5]
    np.testing.assert_allclose(frequency_hz(np.array([69, 81, 60, 21])), expected, rtol=1e-8)


@pytest.mark.parametrize("hertz", [27.5, 41.2, 196.0, 1046.5, 4186.0])
@pytest.mark.parametrize("cents", [-44.0, -7.0, 0.0, 0.5, 52.0])
def test_detuning_of_tones(hertz, cents):
    from listening.pitch import cents_off, harmonic_tone

    audio = harmonic_tone(sharper(hertz, cents), 0.5, seed=1)
    assert cents_off(audio, hertz) == pytest.approx(cents, abs=0.02)


def test_a_missing_fundamental_and_noise_have_little_effect():
    from listening.pitch import cents_off

    fundamental = sharper(110, 13)
    audio = sum(tone(number * fundamental) for number in (2, 3, 4, 5))
    assert cents_off(audio, 110) == pytest.approx(13, abs=0.1)
    noise = np.random.default_rng(0).normal(0, 0.02, len(audio))
    assert cents_off(audio + noise, 110) == pytest.approx(13, abs=1)


def test_vibrato_is_measurable():
    from listening.pitch import cents_off

    # At 5.5 Hz by 20 cents, which is much wider than the window's lobe in high partials.
    times = np.arange(RATE // 2) / RATE
    turns = sharper(880, 20 * np.sin(2 * np.pi * 5.5 * times)).cumsum() / RATE
    audio = sum(np.sin(2 * np.pi * number * turns) for number in range(1, 9))
    assert abs(cents_off(audio, 880)) < 22


def test_silence_noise_and_other_pitches_are_not_measurable():
    from listening.pitch import cents_off, harmonic_tone

    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2)
    assert cents_off(np.zeros(RATE // 2), 220) is None
    for hertz in (30, 220, 3000):
        assert cents_off(noise, hertz) is None
    for cents in (-100, -70, 70, 100):
        assert cents_off(harmonic_tone(sharper(220, cents), 0.5), 220) is None


def test_partials_of_a_harmonic_tone():
    from listening.pitch import harmonic_tone

    audio = harmonic_tone(500, 1.0, seed=3).astype(np.float64)
    assert np.sqrt(np.mean(audio**2)) == pytest.approx(0.1, rel=1e-5)
    amplitudes = np.abs(np.fft.rfft(audio))  # bins of 1 Hz
    partials = amplitudes[500:7501:500]
    np.testing.assert_allclose(partials / partials[0], 1 / np.arange(1, 16), rtol=1e-4)
    assert amplitudes[8000] < 1e-2  # nothing above 7.5 kHz
