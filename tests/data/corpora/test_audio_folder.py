"""Folders of audio files without notes: recordings and their pieces."""

import numpy as np
import pytest

from spectrodiff.core.errors import AudioError
from spectrodiff.data.corpora.audio_folder import AudioPieces, open_audio_folder
from spectrodiff.data.pieces import MemoryPieces, PieceLength
from tests.support.corpora import write_tone

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


def test_a_file_that_is_not_audio(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"a\.wav"):
        AudioPieces(open_audio_folder(tmp_path, validation=False), LENGTH)
