"""Against librosa, and against distances that can be worked out by hand."""

import librosa
import numpy as np
import pytest

from spectrodiff.audio.features import log_mel
from spectrodiff.evaluation.metrics import signal_distances
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.metrics.signal_distances import (
    aligned_log_mel_l1,
    blockwise_log_mel,
    level_offset,
    log_mel_l1,
    loudness_error_db,
    spectral_distance,
)


def noise(num_samples, seed=0, level=0.1):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(num_samples)).astype(np.float32)


def magnitudes(audio):
    """Librosa's, [bins, frames] for each size; every hop begins a frame."""
    for size in (2048, 1024, 512, 256, 128, 64):
        hop = size // 4
        frames = -(-len(audio) // hop)
        padded = np.pad(audio.astype(np.float64), (0, (frames - 1) * hop + size - len(audio)))
        spectra = librosa.stft(
            padded, n_fft=size, hop_length=hop, window="hann", center=False, dtype=np.complex128
        )
        assert spectra.shape == (size // 2 + 1, frames)
        yield np.abs(spectra)


def reference_distance(prediction, target):
    total = 0.0
    for ours, theirs in zip(magnitudes(prediction), magnitudes(target), strict=True):
        total += np.abs(ours - theirs).mean()
        total += np.abs(np.log(ours.clip(1e-5)) - np.log(theirs.clip(1e-5))).mean()
    return total


def test_spectral_distance_against_librosa():
    prediction, target = noise(5_003), noise(5_003, seed=1, level=0.3)
    target[3_000:] = 0  # below the floor of the logarithm
    score = spectral_distance(prediction, target)
    assert score.whole == pytest.approx(reference_distance(prediction, target), rel=1e-5)
    assert score.minutes == [pytest.approx(score.whole)]
    assert spectral_distance(target, target).whole == 0


def test_twice_as_loud():
    """Magnitudes grow by themselves, logarithms by ln 2 at each of six sizes."""
    audio = noise(16_000, level=0.2)
    score = spectral_distance(2 * audio, audio).whole
    silence = np.zeros_like(audio)
    floor = [np.log(np.abs(m).clip(1e-5) / 1e-5).mean() for m in magnitudes(audio)]
    # Against silence the first part is the same, and the second the height above the floor.
    assert score - 6 * np.log(2) == pytest.approx(
        spectral_distance(audio, silence).whole - sum(floor), rel=1e-4
    )


def test_minutes_are_those_of_their_own_frames(monkeypatch):
    """Minutes have 4096 samples here; only the last frames of one reach into the next."""
    monkeypatch.setattr(signal_distances, "MINUTE_SAMPLES", 4096)
    prediction, target = noise(9_000), noise(9_000, seed=1)
    target[4_096:] = prediction[4_096:]
    score = spectral_distance(prediction, target)
    first, second, third = score.minutes
    assert first > 1
    assert second == third == 0
    # Minutes count by their frames, of which the last has 808 / 4096 as many.
    assert score.whole == pytest.approx(first * 4096 / 9000, rel=0.02)
    assert score.whole == pytest.approx(reference_distance(prediction, target), rel=1e-5)


@pytest.mark.parametrize("num_samples", [100, 16_000 * 15, 16_000 * 15 + 1, 16_000 * 33])
def test_features_of_long_recordings(num_samples):
    audio = noise(num_samples)
    ours = blockwise_log_mel(audio)
    assert ours.shape == (-(-num_samples // 320), 128)
    np.testing.assert_allclose(ours, log_mel(audio), atol=2e-5)


def test_log_mel_l1():
    audio = noise(16_000 * 61, level=0.2)
    features = blockwise_log_mel(audio)
    assert log_mel_l1(features, features).whole == 0
    # Ten times as loud is ln 10 more in every band, wherever it is.
    louder = log_mel_l1(blockwise_log_mel(10 * audio), features)
    assert louder.whole == pytest.approx(np.log(10), abs=1e-4)
    assert louder.minutes == [pytest.approx(np.log(10), abs=1e-4)] * 2
    # Against silence the second minute alone is wrong.
    half = audio.copy()
    half[60 * 16_000 :] = 0
    score = log_mel_l1(blockwise_log_mel(half), features)
    # The last frame of the first minute reaches into the second one.
    assert score.minutes[0] < 0.001
    expected = (np.asarray(log_mel(audio[60 * 16_000 :])) - np.log(1e-5)).mean()
    assert score.minutes[1] == pytest.approx(expected, rel=1e-4)
    assert score.whole == pytest.approx(score.minutes[1] / 61, rel=0.02)


def test_what_one_has_more_is_left_out():
    audio = noise(20_000)
    features = blockwise_log_mel(audio)
    assert log_mel_l1(features[:50], features).whole == 0
    assert aligned_log_mel_l1(features, features[:50]).whole == 0
    assert spectral_distance(audio, audio[:16_000]).whole == 0


def test_aligned_distance_leaves_out_one_offset():
    reference = np.zeros((4, 8))
    ours = reference - 1.5
    assert level_offset(ours, reference) == 1.5
    assert aligned_log_mel_l1(ours, reference) == Score(0, [0])
    ours[0, :] += 2  # a quarter is 2 too loud
    assert aligned_log_mel_l1(ours, reference).whole == 0.5


def test_features_are_clipped_80_db_below_the_maximum():
    floor = -4 * np.log(10)  # amplitude 1e-4
    reference = np.array([[0.0, 0.0, 0.0, -20.0]])
    assert aligned_log_mel_l1(np.array([[0.0, 0.0, 0.0, -11.0]]), reference).whole == 0
    louder = np.array([[0.0, 0.0, 0.0, floor + 2]])
    assert aligned_log_mel_l1(louder, reference).whole == pytest.approx(0.5)
    # Inaudible features do not change the offset.
    reference = np.array([[0.0, -20.0, -20.0, -20.0]])
    ours = reference + np.array([[-3.0, 0, 0, 0]])
    assert aligned_log_mel_l1(ours, reference).whole == pytest.approx(0)


def test_the_aligned_distance_does_not_depend_on_the_gain():
    audio = noise(16_000, level=0.1) * np.linspace(0, 1, 16_000, dtype=np.float32) ** 4
    loud, soft = blockwise_log_mel(audio), blockwise_log_mel(0.2 * audio)
    assert aligned_log_mel_l1(soft, loud).whole == pytest.approx(0, abs=1e-4)
    assert aligned_log_mel_l1(loud, soft).whole == pytest.approx(0, abs=1e-4)


def test_loudness_error():
    target = noise(16_000)
    # A gain is a difference of loudness, in either direction.
    assert loudness_error_db(0.5 * target, target) == pytest.approx(6.0206, abs=1e-3)
    assert loudness_error_db(2 * target, target) == pytest.approx(6.0206, abs=1e-3)
    # A sine of 997 Hz at full scale has -3.01 LUFS (BS.1770-4), and silence counts as -70.
    sine = np.sin(2 * np.pi * 997 * np.arange(48_000) / 16_000)
    assert loudness_error_db(np.zeros(48_000), sine) == pytest.approx(70 - 3.01, abs=0.1)
    assert loudness_error_db(sine, np.zeros(48_000)) is None
    assert loudness_error_db(sine[:1000], sine[:1000]) is None
