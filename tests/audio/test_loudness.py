"""Loudness against reference values of the standard; properties of the limiter."""

import numpy as np
import pytest

from spectrodiff.audio.loudness import gain_to, integrated_loudness, limit
from spectrodiff.core.errors import ConfigError

RATE = 16_000


def tone(hertz, seconds, size=1.0):
    return size * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def test_a_full_scale_tone_has_the_loudness_of_the_standard():
    """A full-scale tone of 997 Hz in one channel has -3.01 LUFS (BS.1770)."""
    assert integrated_loudness(tone(997, 5), RATE) == pytest.approx(-3.01, abs=0.1)
    assert integrated_loudness(tone(997, 5, 0.1), RATE) == pytest.approx(-23.01, abs=0.1)


@pytest.mark.parametrize("audio", [np.zeros(RATE), tone(440, 0.3)])
def test_silence_and_clicks_have_no_loudness(audio):
    assert integrated_loudness(audio, RATE) == -np.inf
    assert gain_to([audio], RATE, -20) == 1


def test_one_gain_for_all_songs():
    songs = [tone(997, 4, 0.02), tone(997, 4, 0.02)]
    gain = gain_to(songs, RATE, -17.01)
    # -3.01 LUFS at full scale; 14 dB below is a fifth of it.
    assert gain == pytest.approx(10 ** (-14 / 20) / 0.02, rel=0.02)
    with pytest.raises(ConfigError, match=r"LUFS in -70\.\.0, got 3"):
        gain_to(songs, RATE, 3)


def test_nothing_is_louder_than_the_peak():
    rng = np.random.default_rng(0)
    for peak in (1.0, 0.5):
        audio = (rng.standard_normal(RATE) * 0.6).astype(np.float32)
        limited = limit(audio, RATE, peak)
        assert limited.dtype == np.float32
        assert np.abs(limited).max() <= peak
        # A smooth gain, not clipping: signs are kept, and the gain of adjacent samples is similar.
        assert (np.sign(limited) == np.sign(audio)).all()
        gain = limited / audio
        assert np.abs(np.diff(gain)).max() < 0.02


def test_only_the_neighborhood_of_a_peak_changes():
    audio = tone(100, 2, 0.3).astype(np.float32)
    middle = RATE
    audio[middle] = 2.0
    limited = limit(audio, RATE)
    assert limited[middle] == pytest.approx(1.0, abs=1e-6)
    changed = np.flatnonzero(limited != audio)
    # The minimum filter and the means reach 25 ms each, on either side.
    assert changed.min() >= middle - 0.05 * RATE - 2
    assert changed.max() <= middle + 0.05 * RATE + 2
    # Symmetric around the peak.
    assert abs((changed.min() + changed.max()) / 2 - middle) <= 2


def test_audio_below_the_peak_is_unchanged():
    audio = tone(100, 1, 1.0).astype(np.float32)
    assert limit(audio, RATE) is audio
    with pytest.raises(ConfigError, match="above 0, got 0"):
        limit(audio, RATE, 0.0)
