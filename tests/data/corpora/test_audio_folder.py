"""Folders of audio files without notes: recordings and their pieces."""

import numpy as np
import pytest
import soundfile

from spectrodiff.core.errors import AudioError
from spectrodiff.data.corpora.audio_folder import AudioFolder, AudioPieces, open_audio_folder
from spectrodiff.data.pieces import MemoryPieces, PieceLength
from tests.support.corpora import tone, write_tone

LENGTH = PieceLength(60, 30)


def test_pieces_are_those_of_the_recordings(tmp_path):
    # 2.5 s at 48 kHz are 126 frames, 1.3 s at 44.1 kHz are 66.
    write_tone(tmp_path / "a.wav", 2.5, rate=48_000)
    write_tone(tmp_path / "b.flac", 1.3, 300.0)
    folder = open_audio_folder(tmp_path, validation=False)
    recordings = [folder[number] for number in range(len(folder))]
    expected = MemoryPieces(recordings, LENGTH)
    pieces = AudioPieces(folder, LENGTH)
    assert pieces.length == LENGTH
    assert len(pieces) == len(expected)
    for number in range(len(pieces)):
        ours, theirs = pieces[number], expected[number]
        assert (ours.recording, ours.first_frame, ours.num_frames) == (
            theirs.recording,
            theirs.first_frame,
            theirs.num_frames,
        )
        assert pieces.num_frames[number] == ours.num_frames
        assert ours.audio.dtype == np.int16
        # To the rounding of the resampler, which begins elsewhere in the file.
        np.testing.assert_allclose(ours.audio, theirs.audio, atol=1)
        assert not len(pieces.without_audio(number).audio)
        assert not len(ours.notes)


def test_damaged_files_are_found_at_the_beginning(tmp_path, caplog):
    for number in range(6):
        write_tone(tmp_path / f"{number}.wav", 1.0)
        write_tone(tmp_path / f"{number}.flac", 1.0)
    folder = AudioFolder(
        tuple(sorted(tmp_path.iterdir())), tuple(path.name for path in sorted(tmp_path.iterdir()))
    )
    AudioPieces(folder, LENGTH)
    (tmp_path / "4.wav").write_text("no audio")
    # A file cut off in its middle has a header that opens well.
    whole = (tmp_path / "2.flac").read_bytes()
    (tmp_path / "2.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match=r"2\.flac: expected a .* \(and 1 more files like this\)"):
        AudioPieces(folder, LENGTH)
    assert "2.flac: expected" in caplog.text
    assert "4.wav: expected" in caplog.text


def test_files_that_cannot_seek(tmp_path):
    path = tmp_path / "phone.wav"
    soundfile.write(path, np.sin(np.arange(32000) * 0.2), 16000, subtype="GSM610")
    folder = AudioFolder((path,), ("phone",))
    pieces, expected = AudioPieces(folder, LENGTH), MemoryPieces([folder[0]], LENGTH)
    assert len(pieces) == len(expected) > 1
    for number in range(len(pieces)):
        np.testing.assert_array_equal(pieces[number].audio, expected[number].audio)


def test_audio_of_unknown_length_above_full_scale(tmp_path):
    path = tmp_path / "a.wav"
    loud = 3 * tone(2.5, rate=16_000, peak=0.5) * np.linspace(0, 1, 40_000)
    soundfile.write(path, loud, 16_000, subtype="FLOAT")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    folder = open_audio_folder(tmp_path, validation=False)
    scaled = loud * 32767 / np.abs(loud).max()
    np.testing.assert_allclose(folder[0].audio, scaled, atol=0.51)
    pieces = AudioPieces(folder, LENGTH)
    assert len(pieces) > 1
    for number in range(len(pieces)):
        piece = pieces[number]
        first = piece.first_frame * 320
        expected = scaled[first : first + len(piece.audio)]
        np.testing.assert_allclose(piece.audio, expected, atol=0.51)


def test_of_files_with_one_name_the_first_format_is_used(tmp_path, caplog):
    for name in ("a/x.mp3", "a/x.FLAC", "b/x.ogg", "b/x.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, tone(1.0, rate=16_000), 16_000)
    (tmp_path / "b/loop").symlink_to(tmp_path)
    splits = [open_audio_folder(tmp_path, validation=validation) for validation in (False, True)]
    assert sorted(splits[0].ids + splits[1].ids) == ["a/x", "b/x"]
    files = splits[0].files + splits[1].files
    assert sorted(path.name for path in files) == ["x.FLAC", "x.ogg"]
    assert "of 2 files named a/x, x.FLAC is used" in caplog.text
    assert "b/loop" in caplog.text
