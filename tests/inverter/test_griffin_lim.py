import numpy as np
import pytest
import scipy.signal

from spectrodiff.audio.features import log_mel
from spectrodiff.core.errors import AudioError
from spectrodiff.inverter import GriffinLim


def harmonic_tone(f0_hz=220.0, seconds=2.0):
    time = np.arange(int(seconds * 16_000)) / 16_000
    return sum(0.2 / k * np.sin(2 * np.pi * k * f0_hz * time) for k in range(1, 7))


def round_trip(audio, **settings):
    return GriffinLim(**settings)(np.asarray(log_mel(audio)))


@pytest.mark.parametrize("f0_hz", [220.0, 261.6, 440.0])
def test_partials_of_a_tone_stay_in_place(f0_hz):
    audio = round_trip(harmonic_tone(f0_hz))[4000:-4000]
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 17))
    hz = np.arange(len(spectrum)) * 16_000 / (1 << 17)
    for harmonic in range(1, 7):
        near = np.abs(hz - harmonic * f0_hz) < f0_hz / 2
        # Mel bands are no narrower than the 16 Hz between Fourier bins.
        assert abs(hz[near][spectrum[near].argmax()] - harmonic * f0_hz) < 12
    peaks, _ = scipy.signal.find_peaks(spectrum, height=0.3 * spectrum.max(), distance=1000)
    assert len(peaks) <= 3


def test_features_of_the_result_are_close_on_and_between_the_frames():
    audio = harmonic_tone() * np.exp(-(harmonic_tone(3.0) ** 2) * 10)
    result = round_trip(audio)
    for offset, tolerance in [(0, 0.35), (160, 0.4), (80, 0.4)]:
        expected = np.asarray(log_mel(audio[offset:]))[2:-4]
        actual = np.asarray(log_mel(result[offset:]))[2:-4]
        assert np.abs(actual - expected)[expected > -4].mean() < tolerance


def test_more_iterations_come_closer():
    audio = harmonic_tone()
    expected = np.exp(np.asarray(log_mel(audio)))[2:-2]

    def distance(iterations):
        actual = np.exp(np.asarray(log_mel(round_trip(audio, iterations=iterations))))[2:-2]
        return np.linalg.norm(actual - expected) / np.linalg.norm(expected)

    many = distance(64)
    assert many < distance(32) < distance(4)
    assert many < 0.1


def test_sound_stays_where_and_as_loud_as_it_was():
    audio = np.zeros(32_000)
    audio[12_345 : 12_345 + 4000] = harmonic_tone()[:4000]
    result = round_trip(audio)
    time = np.arange(32_000)

    def center(signal):
        return (time * signal**2).sum() / (signal**2).sum()

    assert abs(center(result) - center(audio)) < 60
    assert abs(np.log(result.std() / audio.std())) < 0.1


@pytest.mark.parametrize("num_frames", [1, 2, 7, 50])
def test_every_frame_becomes_320_samples(num_frames):
    audio = GriffinLim(iterations=2)(np.full((num_frames, 128), -3.0))
    assert audio.shape == (num_frames * 320,)
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() < 0.5


def test_edges_are_no_louder_than_the_rest():
    audio = round_trip(harmonic_tone())
    for edge in (audio[:320], audio[-320:]):
        assert 0.1 < np.abs(edge).max() < 1.5 * np.abs(audio[320:-320]).max()


def test_silence_stays_silent():
    assert np.abs(round_trip(np.zeros(16_000))).max() < 1e-4


def test_same_features_give_the_same_audio():
    np.testing.assert_array_equal(round_trip(harmonic_tone()), round_trip(harmonic_tone()))


def test_unusable_features_are_refused():
    with pytest.raises(AudioError, match="NaN or infinity in frame 3"):
        GriffinLim()(np.pad(np.full((1, 128), np.nan), ((3, 0), (0, 0))))
    with pytest.raises(AudioError, match=r"shape \(5, 80\)"):
        GriffinLim()(np.zeros((5, 80)))
    with pytest.raises(AudioError, match=r"shape \(0, 128\)"):
        GriffinLim()(np.zeros((0, 128)))
