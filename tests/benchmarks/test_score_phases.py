"""The distance of modulations: tones that beat by known amounts."""

import numpy as np
import pytest

RATE = 16_000
TIMES = np.arange(3 * RATE) / RATE


@pytest.fixture(scope="module")
def score_phases(benchmark):
    return benchmark("score_phases")


def beating(depth, hertz=20.0, level=0.3):
    """A tone whose amplitude swings."""
    swing = 1 + depth * np.sin(2 * np.pi * hertz * TIMES)
    return (level * swing * np.sin(2 * np.pi * 1000 * TIMES)).astype(np.float32)


def test_powers_are_those_of_the_swing(score_phases):
    powers, levels = score_phases.modulations(beating(0.4))
    band = int(levels.mean(axis=0).argmax())
    octaves = powers[2:-2, band].mean(axis=0)
    # 20 Hz is bin 10.2 of 256 samples at 500 Hz, in the octave from 8 on. A sine under a Hann
    # window has the power depth^2 * 256 / 4 * 3 / 8, on one side of the spectrum.
    assert octaves.argmax() == 2
    # The window of 16 ms averages a swing of 20 Hz to 0.96 of its depth.
    assert octaves[2] == pytest.approx((0.96 * 0.4) ** 2 * 256 / 4 * 3 / 8, rel=0.06)


def test_levels_do_not_count(score_phases):
    loud, soft = beating(0.3), beating(0.3, level=0.03)
    assert score_phases.modulation_distance(soft, loud) < 0.1
    assert score_phases.modulation_distance(loud, loud) == 0


def test_twice_the_swing_is_six_decibels(score_phases):
    (ours, levels), (theirs, _) = map(score_phases.modulations, (beating(0.2), beating(0.4)))
    band = int(levels.mean(axis=0).argmax())
    ratio = theirs[2:-2, band, 2] / ours[2:-2, band, 2]
    np.testing.assert_allclose(10 * np.log10(ratio), 6.02, atol=0.1)


def test_another_rate_is_another_sound(score_phases):
    near = score_phases.modulation_distance(beating(0.4), beating(0.35))
    assert near < 2 < 5 < score_phases.modulation_distance(beating(0.4, 60.0), beating(0.4))


def test_lengths_may_differ(score_phases):
    target = beating(0.3)
    assert score_phases.modulation_distance(np.pad(target, 500), target) > 0
    assert score_phases.modulation_distance(target[:-500], target) < 3
