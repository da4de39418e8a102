"""Contents of audio files, read back with soundfile and SciPy."""

import io

import numpy as np
import pytest
import scipy.io.wavfile
import soundfile

from spectrodiff.audio.encoding import check_bits, encode_audio
from spectrodiff.core.errors import AudioError, ConfigError, OutputError


def encoded(*arguments, **settings):
    return io.BytesIO(encode_audio(*arguments, **settings))


def noise(count=5000):
    return np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("bits", [16, 24])
def test_integers_are_stored_as_they_are(suffix, bits):
    """Samples are rounded to the next step, full scale is the last one."""
    scale = 2 ** (bits - 1)
    codes = np.array([-scale, 1 - scale, -3, -1, 0, 1, 2, 12_345, scale - 1])
    audio = codes / scale
    audio[4:6] += 0.4 / scale
    file = encoded(audio, 48_000, suffix, bits=bits)
    assert soundfile.info(file).subtype == f"PCM_{bits}"
    file.seek(0)
    samples, rate = soundfile.read(file, dtype="int32")
    assert rate == 48_000
    assert (samples >> (32 - bits)).tolist() == codes.tolist()
    assert not (samples & (2 ** (32 - bits) - 1)).any()


def test_24_bits_have_steps_of_2_to_the_minus_23():
    audio = np.linspace(0, 1e-5, 500)
    file = encoded(audio, 16_000, ".wav", bits=24)
    samples = soundfile.read(file, dtype="float64")[0]
    assert np.unique(np.diff(np.unique(samples))).tolist() == [2.0**-23]
    np.testing.assert_allclose(samples, audio, atol=2.0**-24 + 1e-12)


@pytest.mark.filterwarnings("ignore:Chunk .non-data. not understood")
def test_32_bits_are_floating_point():
    audio = noise() * 1e-6
    rate, samples = scipy.io.wavfile.read(encoded(audio, 44_100, ".wav", bits=32))
    assert (rate, samples.dtype) == (44_100, np.float32)
    np.testing.assert_array_equal(samples, audio)
    wide = np.array([-1.5, 1.0, 3.0])
    samples = scipy.io.wavfile.read(encoded(wide, 44_100, ".wav", bits=32))[1]
    assert samples.tolist() == [-1, 1, 1]


@pytest.mark.parametrize(
    ("suffix", "bits"), [(".wav", 16), (".wav", 32), (".flac", 24), (".ogg", None)]
)
def test_two_channels_are_the_same(suffix, bits):
    one = soundfile.read(encoded(noise(), 16_000, suffix, bits=bits))[0]
    two = soundfile.read(encoded(noise(), 16_000, suffix, bits=bits, channels=2))[0]
    assert two.shape == (5000, 2)
    np.testing.assert_array_equal(two[:, 0], two[:, 1])
    if suffix != ".ogg":
        np.testing.assert_array_equal(two[:, 0], one)


def test_int16_is_stored_as_it_is():
    codes = np.array([-32768, -1, 0, 1, 32767], np.int16)
    for bits in (16, 24, 32):
        file = encoded(codes, 16_000, ".wav", bits=bits)
        assert soundfile.read(file, dtype="float64")[0].tolist() == (codes / 32768).tolist()


@pytest.mark.parametrize(
    ("suffix", "bits", "message"),
    [
        (".flac", 32, "bits: expected 16 or 24 for flac, got 32"),
        (".wav", 20, "bits: expected 16, 24 or 32 for wav, got 20"),
        (".ogg", 16, "bits: expected none for ogg, which is lossy"),
    ],
)
def test_bits_that_a_format_does_not_allow(suffix, bits, message):
    with pytest.raises(ConfigError, match=message):
        encode_audio(noise(), 16_000, suffix, bits=bits)
    assert [check_bits(name, None) for name in (".wav", ".flac", ".ogg")] == [16, 16, None]


def test_other_errors():
    with pytest.raises(ConfigError, match="channels: expected 1 or 2, got 6"):
        encode_audio(noise(), 16_000, ".wav", channels=6)
    with pytest.raises(OutputError, match=r"audio: expected a name ending in one of \.wav"):
        encode_audio(noise(), 16_000, ".mp3")
    with pytest.raises(AudioError, match="song: expected finite samples"):
        encode_audio(np.array([np.nan]), 16_000, ".wav", name="song")
