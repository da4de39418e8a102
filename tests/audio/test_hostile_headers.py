"""Headers of few bytes that ask for much, and files that decoders find special."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from spectrodiff.audio.files import count_samples, read_audio, read_excerpt, source_rate
from spectrodiff.core.errors import AudioError

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 5000)


def changed(path, place, new):
    """Writes other bytes into a file."""
    data = bytearray(path.read_bytes())
    data[place : place + len(new)] = new
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [0, 1, 999, 1_000_001, 2**31 - 1])
def test_absurd_sample_rates_are_refused(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 16_000)
    changed(path, 24, rate.to_bytes(4, "little"))
    for read in (read_audio, source_rate, count_samples):
        with pytest.raises(AudioError, match=r"a\.wav"):
            read(path)


def test_low_and_high_rates_are_read(tmp_path):
    for rate, samples in ((1000, 80_000), (1_000_000, 80)):
        soundfile.write(tmp_path / "a.wav", NOISE, rate)
        assert len(read_audio(tmp_path / "a.wav")) == samples


def test_many_channels_need_little_memory(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((10, 1000)) + 0.25, 16_000)
    tracemalloc.start()
    try:
        np.testing.assert_allclose(read_audio(path), 0.25, atol=1e-4)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_an_excerpt_of_a_format_that_cannot_seek(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 16_000, subtype="G721_32")
    whole = read_audio(path)
    assert np.abs(whole[:5000] - NOISE).std() < 0.3
    np.testing.assert_array_equal(read_excerpt(path, 3000, 1000), whole[3000:4000])


def test_the_name_of_raw_audio(tmp_path):
    path = tmp_path / "a.raw"
    soundfile.write(path, NOISE, 16_000, format="WAV", subtype="PCM_16")
    np.testing.assert_allclose(read_audio(path), NOISE, atol=1e-4)
    path.write_bytes(bytes(100))
    with pytest.raises(AudioError, match=r"a\.raw"):
        read_audio(path)


def test_a_chunk_larger_than_any_file(tmp_path):
    path = tmp_path / "a.w64"
    soundfile.write(path, NOISE, 16_000, format="W64", subtype="PCM_16")
    changed(path, 40 + 16, b"\xff" * 8)
    with pytest.raises(AudioError, match=r"a\.w64"):
        read_audio(path)


@pytest.mark.parametrize("beside", ["._a.mp3", ".AppleDouble/a.mp3"])
def test_files_that_macos_writes_beside_others(tmp_path, beside):
    path, other = tmp_path / "a.mp3", tmp_path / beside
    soundfile.write(path, NOISE, 16_000)
    wanted = read_audio(path)
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(bytes.fromhex("00051607") + bytes(4000))
    np.testing.assert_array_equal(read_audio(path), wanted)
