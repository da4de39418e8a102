import logging

import numpy as np
import pytest
import soundfile

from spectrodiff.audio.files import count_samples, read_audio, read_excerpt, write_audio
from spectrodiff.core.errors import AudioError, OutputError
from tests.support.files import small_files


def tone(hz=440.0, seconds=1.0, sample_rate=16_000):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(seconds * sample_rate) / sample_rate)).astype(
        np.float32
    )


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_lossless_formats_return_what_was_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_audio(path, tone(), 16_000)
    assert soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_allclose(read_audio(path), tone(), atol=0.5 / 32768 + 1e-7)


def test_ogg_returns_about_what_was_written(tmp_path):
    path = tmp_path / "a.ogg"
    write_audio(path, tone(), 16_000)
    again = read_audio(path)
    assert again.shape == (16_000,)
    assert np.sqrt(np.mean((again - tone()) ** 2)) < 0.01


def test_long_ogg_is_written(tmp_path):
    write_audio(tmp_path / "long.ogg", np.tile(tone(), 900), 16_000)
    assert soundfile.info(tmp_path / "long.ogg").frames == 900 * 16_000


def test_extremes_are_exact_and_need_no_warning(tmp_path, caplog):
    write_audio(tmp_path / "a.wav", np.array([-1, -0.5, 0, 0.5, 1]), 8000)
    pcm, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 8000
    assert pcm.tolist() == [-32768, -16384, 0, 16384, 32767]
    assert not caplog.records


def test_clipping_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        write_audio(tmp_path / "a.wav", np.array([0.0, 1.5, -3.0]), 16_000)
    assert "2 of 3 samples clipped, peak 3 times full scale" in caplog.text
    assert soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tolist() == [0, 32767, -32768]


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.array([0.0, np.nan]), "NaN or infinity at sample 1"),
        (np.array([np.inf, 0.0]), "NaN or infinity at sample 0"),
        (np.zeros((10, 2)), r"shape \(10, 2\)"),
        (np.zeros(0), r"shape \(0,\)"),
    ],
)
def test_unusable_audio_is_not_written(tmp_path, audio, message):
    with pytest.raises(AudioError, match=message):
        write_audio(tmp_path / "a.wav", audio, 16_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a", "a.wav.txt"])
def test_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"one of \.wav, \.flac, \.ogg"):
        write_audio(tmp_path / name, tone(), 16_000)


def test_folder_in_the_way_is_refused(tmp_path):
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(OutputError, match=r"a\.wav"):
        write_audio(tmp_path / "a.wav", tone(), 16_000)


def test_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, tone(220), 16_000)
    error = r"a\.wav: expected a place that can be written to"
    with small_files(10_000), pytest.raises(OutputError, match=error):
        write_audio(path, tone(440), 16_000)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
    np.testing.assert_allclose(read_audio(path), tone(220), atol=1e-4)


def test_reading_averages_channels(tmp_path):
    stereo = np.stack([tone(440), -0.5 * tone(440)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), 0.25 * tone(440), atol=1e-7)


@pytest.mark.parametrize("source_rate", [8_000, 44_100, 48_000])
def test_reading_resamples(tmp_path, source_rate):
    soundfile.write(tmp_path / "a.wav", tone(440, 2.0, source_rate), source_rate, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav", 16_000)
    assert audio.shape == (32_000,)
    assert audio.dtype == np.float32
    # Ignores both ends, where the resampling filter overlaps the surrounding silence.
    np.testing.assert_allclose(audio[1000:-1000], tone(440, 2.0)[1000:-1000], atol=1e-3)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "AIFF", "MP3"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.95])
def test_truncated_file_is_refused(tmp_path, container, kept):
    path = tmp_path / f"a.{container.lower()}"
    audio = 0.1 * np.random.default_rng(0).standard_normal(48_000)
    soundfile.write(path, audio, 16_000, format=container)
    read_audio(path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(AudioError, match=rf"{path.name}: expected a (complete|readable) audio"):
        read_audio(path)


def test_wav_from_a_pipe_is_complete(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, tone(), 16_000)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert read_audio(path).shape == (16_000,)


def test_missing_folder_empty_and_other_files_are_refused(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("RIFF, or so it says")
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.array([np.nan]), 16_000, subtype="FLOAT")
    for name, message in [
        ("none.wav", "expected an audio file, got no such file"),
        ("", "expected an audio file, got a folder"),
        ("empty.wav", "expected a readable audio file"),
        ("text.wav", "expected a readable audio file"),
        ("silent.wav", "expected at least one sample, got none"),
        ("nan.wav", "expected finite samples, got NaN or infinity"),
    ]:
        with pytest.raises(AudioError, match=message):
            read_audio(tmp_path / name)


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_an_excerpt_is_what_the_whole_file_holds(tmp_path, rate, suffix):
    seconds = np.arange(3 * rate) / rate
    sweep = 0.5 * np.sin(2 * np.pi * (200 + 300 * seconds) * seconds)
    path = (tmp_path / "a").with_suffix(suffix)
    soundfile.write(path, np.stack([sweep, 0.5 * sweep], 1), rate)
    entire = read_audio(path)
    assert abs(count_samples(path) - len(entire)) <= 1
    for first, count in ((0, 100), (12_345, 8000), (40_001, 20_000), (47_990, 10), (60_000, 5)):
        excerpt = read_excerpt(path, first, count)
        expected = entire[first : first + count]
        assert excerpt.dtype == np.float32
        assert abs(len(excerpt) - len(expected)) <= 1
        shorter = min(len(excerpt), len(expected))
        np.testing.assert_allclose(excerpt[:shorter], expected[:shorter], atol=2e-6)


def test_an_excerpt_of_a_missing_or_truncated_file(tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        read_excerpt(tmp_path / "a.wav", 0, 10)
    path = tmp_path / "a.flac"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-0.5, 0.5, 80_000), 16_000)
    path.write_bytes(path.read_bytes()[:60_000])
    assert len(read_excerpt(path, 0, 1000)) == 1000
    with pytest.raises(AudioError):
        read_excerpt(path, 70_000, 1000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    with pytest.raises(AudioError, match="at least one sample"):
        count_samples(tmp_path / "empty.wav")
