"""Resampling of rendered audio."""

import numpy as np
import pytest
from scipy.signal import welch

from spectrodiff.audio.samples import SAMPLE_RATES, quantization_step, resample, to_codes


def spectrum(audio, rate):
    """Power density in dB at frequencies 31.25 Hz apart at any rate of this test."""
    length = rate * 512 // 16_000
    hz, power = welch(audio.astype(np.float64), rate, ("kaiser", 14.0), length)
    return hz, 10 * np.log10(power + 1e-30)


@pytest.mark.parametrize("rate", [32_000, 48_000, 96_000])
def test_nothing_is_added_above_the_band_and_nothing_changed_below(rate):
    noise = np.random.default_rng(0).normal(0, 0.2, 160_000).astype(np.float32)
    hz, before = spectrum(noise, 16_000)
    new_hz, after = spectrum(resample(noise, 16_000, rate), rate)
    np.testing.assert_allclose(new_hz[: len(hz)], hz)
    low = hz < 7000
    np.testing.assert_allclose(after[: len(hz)][low], before[low], atol=0.1)
    assert after[new_hz > 8200].max() < before.mean() - 100


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_a_sine_is_the_same_sine_at_any_rate(rate):
    """Samples lie at their times from the first on: there is no delay."""
    audio = np.sin(2 * np.pi * 1234 * np.arange(16_000) / 16_000).astype(np.float32)
    again = resample(audio, 16_000, rate)
    assert again.dtype == np.float32
    expected = np.sin(2 * np.pi * 1234 * np.arange(len(again)) / rate)
    inside = slice(rate // 20, -rate // 20)
    np.testing.assert_allclose(again[inside], expected[inside], atol=1e-5)


def test_lengths_are_rounded_up():
    # 22050 / 16000 = 441 / 320
    for samples, expected in [(1, 2), (3, 5), (320, 441), (321, 443), (15_999, 22_049)]:
        assert len(resample(np.ones(samples, np.float32), 16_000, 22_050)) == expected
    assert len(resample(np.ones(7, np.float32), 16_000, 44_100)) == 20  # 19.3
    assert len(resample(np.ones(7, np.float32), 16_000, 48_000)) == 21


def test_codes():
    assert to_codes(np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0]), 24).tolist() == [
        -8388608,
        -8388608,
        -4194304,
        0,
        4194304,
        8388607,
    ]
    assert [quantization_step(bits) for bits in (16, 24, 32)] == [1 / 32768, 1 / 8388608, 2.0**-24]
