"""Audio in other formats, read back by libsndfile."""

import io

import numpy as np
import pytest
import soundfile

from spectrodiff.audio.encoding import encode_audio, resample
from spectrodiff.audio.files import write_audio
from spectrodiff.audio.samples import quantize
from spectrodiff.core.errors import ConfigError

RATE = 16_000


def tone(hz, seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize(
    ("suffix", "bits", "subtype", "step"),
    [
        (".wav", 16, "PCM_16", 2**-15),
        (".wav", 24, "PCM_24", 2**-23),
        (".wav", 32, "FLOAT", 2**-24),
        (".flac", 16, "PCM_16", 2**-15),
        (".flac", 24, "PCM_24", 2**-23),
    ],
)
def test_samples_are_rounded_to_the_bits(suffix, bits, subtype, step):
    audio = tone(440.3)
    encoded = io.BytesIO(encode_audio(audio, RATE, suffix, bits=bits))
    with soundfile.SoundFile(encoded) as file:
        assert (file.subtype, file.samplerate, file.channels) == (subtype, RATE, 1)
        read = file.read(dtype="float64")
    error = np.abs(read - audio).max()
    # Half a step, and not much less: no other bits are kept or lost.
    assert step / 4 < error <= step / 2 if bits < 32 else error <= step / 2
    if bits < 32:
        np.testing.assert_array_equal(read, quantize(audio, bits))


def test_full_scale_and_more():
    audio = np.array([-1.5, -1.0, 1.0, 1.5])
    for bits, top in ((16, 1 - 2**-15), (24, 1 - 2**-23)):
        read, _ = soundfile.read(io.BytesIO(encode_audio(audio, RATE, ".wav", bits=bits)))
        np.testing.assert_array_equal(read, [-1, -1, top, top])
    read, _ = soundfile.read(io.BytesIO(encode_audio(audio, RATE, ".wav", bits=32)))
    np.testing.assert_array_equal(read, audio)


def test_two_channels_are_equal():
    for suffix in (".wav", ".flac", ".ogg"):
        read, _ = soundfile.read(io.BytesIO(encode_audio(tone(440), RATE, suffix, channels=2)))
        assert read.shape == (RATE, 2)
        np.testing.assert_allclose(read[:, 0], read[:, 1], atol=1e-3 if suffix == ".ogg" else 0)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_tones_and_adds_nothing(rate):
    audio = tone(440) + 0.5 * tone(7000)
    resampled = resample(audio, RATE, rate)
    assert len(resampled) == rate
    middle = slice(rate // 4, 3 * rate // 4)  # away from the ends, where the tones begin abruptly
    wanted = tone(440, rate=rate) + 0.5 * tone(7000, rate=rate)
    np.testing.assert_allclose(resampled[middle], wanted[middle], atol=3e-4)
    # Fades in and out, since an abrupt end has all frequencies.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE) * np.hanning(4 * RATE)
    spectrum = np.abs(np.fft.rfft(resample(noise, RATE, rate))) ** 2
    hz = np.arange(len(spectrum)) / 4
    assert spectrum[hz > 8200].max() < 1e-8 * spectrum[hz < 7000].mean()


@pytest.mark.parametrize(("samples", "rate", "wanted"), [(1, 44_100, 3), (7, 22_050, 10)])
def test_lengths_are_rounded_up(samples, rate, wanted):
    assert len(resample(np.ones(samples, np.float32), RATE, rate)) == wanted


@pytest.mark.parametrize(
    ("suffix", "settings", "message"),
    [
        (".ogg", {"bits": 24}, "bits: expected 16 in .ogg files, got 24"),
        (".flac", {"bits": 32}, "bits: expected 16 or 24 in .flac files, got 32"),
        (".wav", {"bits": 8}, "bits: expected 16 or 24 or 32 in .wav files, got 8"),
        (".wav", {"channels": 3}, "channels: expected 1 or 2, got 3"),
    ],
)
def test_impossible_formats(tmp_path, suffix, settings, message):
    with pytest.raises(ConfigError) as error:
        write_audio(tmp_path / f"a{suffix}", tone(440), RATE, **settings)
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())
