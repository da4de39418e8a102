"""Prepared corpora: pieces of one length, slices by recordings, and refusal of older ones."""

import shutil
from functools import partial

import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.pieces import PieceLength, cut_pieces
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.recordings import Plan
from spectrodiff.data.source import dataset_folder, load_source
from tests.support.corpora import table
from tests.support.stored_recordings import noise, single

# The last note lasts until the second piece.
NOTES = partial(table, (0.0, 0.2, 60), (0.1, 0.9, 62), (0.85, 0.95, 60))


def test_pieces_are_counted_and_joined(tmp_path):
    groups = [single(str(seed), partial(noise, 500 * seed), NOTES) for seed in range(4)]
    prepare("mine", "v1", Plan({"train": groups}), tmp_path, piece_length=PieceLength(20, 18))
    source = load_source(tmp_path, "mine", "train")
    # Recordings of 51 to 55 frames.
    assert len(source) == 4
    assert len(source.pieces) == 12
    assert source.pieces.num_frames.tolist() == [20, 20, 11, 20, 20, 12, 20, 20, 14, 20, 20, 15]
    assert source.pieces.length == PieceLength(20, 18)
    for number, recording in enumerate(source):
        assert recording.id == str(number)
        assert len(recording.audio) == 16_000 + 500 * number
        np.testing.assert_array_equal(recording.notes.onset_seconds, [0.0, 0.1, 0.85])
        for place, expected in enumerate(cut_pieces(recording, PieceLength(20, 18))):
            piece = source.pieces[3 * number + place]
            assert piece.first_frame == expected.first_frame == 20 * place
            np.testing.assert_array_equal(piece.audio, expected.audio)
            without = source.pieces.without_audio(3 * number + place)
            assert not len(without.audio)
            for notes in (piece.notes, without.notes):
                np.testing.assert_array_equal(notes.pitch, expected.notes.pitch)


def test_slices_are_of_recordings(tmp_path):
    groups = [single(str(seed), partial(noise, seed), NOTES) for seed in range(4)]
    prepare("mine", "v1", Plan({"train": groups}), tmp_path, piece_length=PieceLength(20, 18))
    half = load_source(tmp_path, "mine", "train[50%:]")
    assert [recording.id for recording in half] == ["2", "3"]
    assert [half.pieces[n].recording for n in range(len(half.pieces))] == ["2"] * 3 + ["3"] * 3
    assert [half.pieces.without_audio(n).recording for n in (0, 5)] == ["2", "3"]
    with pytest.raises(CorpusError, match=r"recordings in the split.*got none"):
        load_source(tmp_path, "mine", "train[4:]")
    with pytest.raises(CorpusError, match="in the notation of TFDS"):
        load_source(tmp_path, "mine", "train[a:]")


def test_corpora_of_whole_recordings_are_refused(tmp_path):
    prepare("mine", "v1", Plan({"train": [single("a", partial(noise, 0), NOTES)]}), tmp_path)
    folder = dataset_folder(tmp_path, "mine", "v1")
    shutil.move(folder, folder.with_name("1.0.0"))
    for name in ("mine", "mine/v1"):
        with pytest.raises(CorpusError) as refused:
            load_source(tmp_path, name, "train")
        message = str(refused.value)
        assert "version 2.0.0 of the prepared corpus, got 1.0.0, with whole recordings" in message
        assert f"delete {tmp_path}/mine/v1/1.0.0 and run " in message
        assert f"python -m spectrodiff prepare mine ... --data_dir {tmp_path}" in message


def test_slakh_with_overlapping_notes_is_refused(tmp_path):
    prepare("slakh", "redux", Plan({"train": [single("a", partial(noise, 0), NOTES)]}), tmp_path)
    folder = dataset_folder(tmp_path, "slakh", "redux")
    assert folder.name == "2.1.0"
    assert len(load_source(tmp_path, "slakh/redux", "train")) == 1
    shutil.move(folder, folder.with_name("2.0.0"))
    with pytest.raises(CorpusError, match=r"version 2.1.0 .* got 2.0.0, with notes that overlap;"):
        load_source(tmp_path, "slakh", "train")


def test_a_corpus_that_was_prepared_anew(tmp_path):
    for seconds in (0.2, 0.3):
        notes = partial(table, (0.0, seconds, 60))
        prepare("mine", "v1", Plan({"train": [single("a", partial(noise, 0), notes)]}), tmp_path)
        pieces = load_source(tmp_path, "mine", "train").pieces
        assert pieces.without_audio(0).notes.offset_seconds == [seconds]
        shutil.rmtree(dataset_folder(tmp_path, "mine", "v1"))


def test_an_index_of_another_corpus(tmp_path):
    for config, count in (("one", 1), ("two", 2)):
        groups = [single(str(n), partial(noise, 0), NOTES) for n in range(count)]
        prepare("mine", config, Plan({"train": groups}), tmp_path)
    files = [dataset_folder(tmp_path, "mine", c) / "pieces-train.npz" for c in ("one", "two")]
    shutil.copy(*files)
    with pytest.raises(CorpusError, match=r"pieces-train.npz: expected an index of 2 .*got 1"):
        load_source(tmp_path, "mine/two", "train")
    files[0].unlink()
    with pytest.raises(CorpusError, match=r"pieces-train.npz: expected an index of pieces"):
        load_source(tmp_path, "mine/one", "train")
