"""Audio files whose headers state a wrong length or none."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectrodiff.audio.files import audio_blocks, count_samples, read_audio, read_excerpt
from spectrodiff.core.errors import AudioError

RATE = 16_000
# Bytes from the beginning of a format's mark to the size of the audio, their number and order, and
# what the size counts besides the audio.
SIZES = {
    "WAV": (b"data", 4, 4, "little", 0),
    "RF64": (b"ds64", 16, 8, "little", 0),
    "W64": (b"data\xf3", 16, 8, "little", 24),
    "AIFF": (b"SSND", 4, 4, "big", 8),
    "CAF": (b"data", 4, 8, "big", 4),
    "AU": (b".snd", 8, 4, "big", 0),
}


def sweep(frames: int, channels: int = 2) -> np.ndarray:
    """Samples of 16 bits, a different sweep in each channel."""
    time = np.arange(frames) / RATE
    tones = [np.sin(2 * np.pi * (150 + 40 * time * (1 + n)) * time) for n in range(channels)]
    return np.rint(9000 * np.stack(tones, 1)).astype(np.int16)


def write(path, container, frames=20_000, channels=2):
    samples = sweep(frames, channels)
    soundfile.write(path, samples, RATE, format=container, subtype="PCM_16")
    return samples.mean(axis=1) / 32768


def patch_size(path, container, size):
    """Writes the size of the audio into the header; returns the position of the audio."""
    mark, offset, width, order, extra = SIZES[container]
    data = bytearray(path.read_bytes())
    place = data.index(mark) + offset
    data[place : place + width] = (size % 2 ** (8 * width)).to_bytes(width, order)
    path.write_bytes(data)
    return extra


def check_whole(path, expected):
    np.testing.assert_allclose(read_audio(path), expected, atol=1e-7)
    assert count_samples(path) == len(expected)
    np.testing.assert_allclose(read_excerpt(path, 7000, 900), expected[7000:7900], atol=1e-7)
    assert len(read_excerpt(path, len(expected) - 5, 900)) == 5


@pytest.mark.parametrize("container", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("stated", ["nothing", "unknown", "whole"])
def test_all_that_is_there_is_read(tmp_path, container, channels, stated):
    path = tmp_path / "a"
    expected = write(path, container, channels=channels)
    extra = SIZES[container][-1]
    sizes = {"nothing": extra, "unknown": -1, "whole": 20_000 * channels * 2 + extra}
    patch_size(path, container, sizes[stated])
    check_whole(path, expected)


@pytest.mark.parametrize("size", [0, 1, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFF000, 80_001])
def test_wav_of_a_pipe_or_a_recorder_that_died(tmp_path, size):
    expected = write(tmp_path / "a.wav", "WAV")
    patch_size(tmp_path / "a.wav", "WAV", size)
    check_whole(tmp_path / "a.wav", expected)


@pytest.mark.parametrize("container", SIZES)
def test_audio_behind_the_stated_length_is_read_and_said(tmp_path, container, caplog):
    path = tmp_path / "a.wav"
    expected = write(path, container)
    patch_size(path, container, 4000 + SIZES[container][-1])
    with caplog.at_level(logging.WARNING):
        check_whole(path, expected)
    assert "declares 4000 bytes of audio, reading all 80000 that are there" in caplog.text


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
def test_the_size_of_the_whole_file_does_not_matter(tmp_path, riff):
    path = tmp_path / "a.wav"
    expected = write(path, "WAV")
    data = bytearray(path.read_bytes())
    data[4:8] = riff.to_bytes(4, "little")
    path.write_bytes(data)
    check_whole(path, expected)


@pytest.mark.parametrize(
    "behind",
    [
        b"LIST" + (10).to_bytes(4, "little") + b"INFO whoop",
        b"LIST" + (4).to_bytes(4, "little") + b"INFO" + b"\xff\x01\xfe" * 40,
        b"LIST" + (900).to_bytes(4, "little") + b"cut off",
        b"TAG" + b"A song that nobody knows".ljust(125, b"\0"),
        b"ID3\x03\0\0" + b"x" * 300,
        bytes(1000),
        b"\0",
    ],
    ids=["chunk", "chunk and damage", "cut chunk", "ID3v1", "ID3v2", "zeros", "a byte"],
)
def test_what_is_not_audio_is_not_read(tmp_path, behind):
    path = tmp_path / "a.wav"
    expected = write(path, "WAV")
    with path.open("ab") as file:
        file.write(behind)
    check_whole(path, expected)
    # Nor if there is no audio at all.
    soundfile.write(path, np.zeros(0), RATE)
    with path.open("ab") as file:
        file.write(behind)
    with pytest.raises(AudioError, match="at least one sample"):
        read_audio(path)


def test_an_unclosed_recording_may_begin_with_silence(tmp_path):
    samples = np.concatenate([np.zeros(100_000, np.int16), sweep(5000, 1)[:, 0]])
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    patch_size(tmp_path / "a.wav", "WAV", 0)
    check_whole(tmp_path / "a.wav", samples / 32768)


@pytest.mark.parametrize("container", SIZES)
@pytest.mark.parametrize("lost", [1, 40_000, 79_999])
def test_a_cut_file_is_refused_at_once(tmp_path, container, lost):
    path = tmp_path / "a"
    write(path, container)
    path.write_bytes(path.read_bytes()[:-lost])
    for read in (read_audio, count_samples, lambda path: next(audio_blocks(path))):
        with pytest.raises(AudioError, match=r"a: expected a complete audio file, got a truncated"):
            read(path)


def unknown_length(flac: bytes) -> bytes:
    """A FLAC file as encoders write it to a pipe: the last 36 of 100 bits of its length are 0."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("front", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
def test_flac_of_unknown_length(tmp_path, channels, front):
    path = tmp_path / "a.flac"
    expected = write(path, "FLAC", 60_000, channels)
    path.write_bytes(front + unknown_length(path.read_bytes()))
    check_whole(path, expected)
    path.write_bytes(path.read_bytes()[:-500])
    for read in (read_audio, count_samples, lambda path: read_excerpt(path, 0, 10)):
        with pytest.raises(AudioError, match=r"a\.flac: expected a readable audio file"):
            read(path)


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_names_that_are_not_utf8(tmp_path, container):
    expected = write(tmp_path / "a", container)
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    (tmp_path / "a").rename(path)
    check_whole(path, expected)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_joined_ogg_files_are_refused(tmp_path, subtype):
    path = tmp_path / "a.ogg"
    soundfile.write(path, sweep(16_000), RATE, format="OGG", subtype=subtype)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(AudioError, match="expected one audio file, got several"):
        read_audio(path)


# An encoder's delay and that of the decoder, which the tag in the first frame tells to leave out.
MP3_DELAY = 576 + 529


def mp3(path, rate: int, channels: int, mode: str) -> tuple[bytes, bytes]:
    """Writes noise that becomes soft; returns the frame with the tag, and the other frames."""
    noise = 0.4 * np.random.default_rng(1).standard_normal((6 * rate, channels))
    noise[rate:] *= 1e-3
    soundfile.write(path, noise, rate, format="MP3", bitrate_mode=mode)
    data = path.read_bytes()
    # By the formula of the standard: bytes of a frame = slots per bit rate / sample rate.
    if rate >= 32_000:
        kilobits = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
        size = 144_000 * kilobits[data[2] >> 4] // rate
    else:
        kilobits = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
        size = 72_000 * kilobits[data[2] >> 4] // rate
    assert b"Xing" in data[:size] or b"Info" in data[:size]
    assert data[size] == 0xFF
    return data[:size], data[size:]


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (48_000, 1), (22_050, 2), (16_000, 1)])
def test_mp3_without_a_tag(tmp_path, mode, rate, channels):
    path = tmp_path / "a.mp3"
    _, frames = mp3(path, rate, channels, mode)
    whole, _ = soundfile.read(path, always_2d=True)
    for front, behind in ((b"", b""), (b"ID3\x03\0\0\0\0\x01\0" + bytes(128), b"TAG" + bytes(125))):
        path.write_bytes(front + frames + behind)
        audio = read_audio(path, rate)
        assert count_samples(path, rate) == len(audio)
        np.testing.assert_allclose(
            audio[MP3_DELAY : MP3_DELAY + len(whole)], whole.mean(axis=1), atol=1e-6
        )
        assert len(whole) + MP3_DELAY <= len(audio) <= len(whole) + 4000
        for first in (0, 1, 40_000, 5 * rate + 17):
            excerpt = read_excerpt(path, first, 3000, rate)
            np.testing.assert_allclose(excerpt, audio[first : first + 3000], atol=1e-6)


def test_joined_mp3_files_are_read_to_the_end(tmp_path):
    path = tmp_path / "a.mp3"
    mp3(path, 44_100, 2, "VARIABLE")
    one = read_audio(path)
    path.write_bytes(path.read_bytes() * 2)
    assert 2 * len(one) <= len(read_audio(path)) < 2 * len(one) + 3000


def test_a_tag_that_states_no_number_of_frames(tmp_path):
    path = tmp_path / "a.mp3"
    tag, frames = mp3(path, 44_100, 2, "VARIABLE")
    place = max(tag.find(b"Xing"), tag.find(b"Info"))
    path.write_bytes(tag[: place + 7] + b"\0" * 5 + tag[place + 12 :] + frames)
    assert 6 * RATE <= len(read_audio(path)) < 6 * RATE + 1500


def test_a_cut_mp3_file_is_refused_if_it_tells(tmp_path):
    path = tmp_path / "a.mp3"
    tag, frames = mp3(path, 44_100, 2, "CONSTANT")
    path.write_bytes(tag + frames[: len(frames) // 2])
    with pytest.raises(AudioError, match="expected a complete audio file"):
        read_audio(path)
    # Without the tag nothing tells how long it was.
    path.write_bytes(frames[: len(frames) // 2])
    assert len(read_audio(path)) == pytest.approx(3 * RATE, abs=2000)
    # The other kind of tag, from which libsndfile takes nothing.
    vbri = bytearray(tag)
    vbri[4:] = bytes(len(tag) - 4)
    vbri[36:40] = b"VBRI"
    for number, is_whole in ((6 * 44_100 // 1152, True), (2 * 6 * 44_100 // 1152, False)):
        vbri[50:54] = number.to_bytes(4, "big")
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(vbri + frames)
        if is_whole:
            assert len(read_audio(path)) == pytest.approx(6 * RATE, abs=1500)
        else:
            with pytest.raises(AudioError, match="expected a complete audio file"):
                count_samples(path)


def test_mp3_frames_that_cannot_be_decoded_are_noticed(tmp_path):
    path = tmp_path / "a.mp3"
    _, frames = mp3(path, 44_100, 2, "CONSTANT")
    third = len(frames) // 3
    # Behind so much else, the decoder finds no frame again.
    path.write_bytes(frames[:third] + bytes(100_000) + frames[third:])
    with pytest.raises(AudioError, match=r"expected a (complete|readable) audio file"):
        read_audio(path)
