"""Pieces: their notes decide the same tokens as those of the recording, and nothing is lost."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.piece_index import PieceIndex
from spectrodiff.data.pieces import (
    PAPER_PIECES,
    MemoryPieces,
    PieceLength,
    cut_pieces,
    join_pieces,
)
from spectrodiff.data.recordings import Recording, fit_notes
from spectrodiff.music.events import count_frames
from spectrodiff.music.notes import NOTE_COLUMNS, Notes
from spectrodiff.music.tokenization import Tokenization
from tests.support.corpora import HOP, numbered, recording, table


def random_recording(seed: int, seconds: float = 12.0) -> Recording:
    """Notes of few pitches and programs, so that many of them overlap, some at equal times."""
    rng = np.random.default_rng(seed)
    count, scale = int(rng.integers(5, 200)), float(rng.choice([100.0, 97.3]))
    onset = rng.integers(0, int(seconds * scale), count) / scale
    duration = np.ceil(rng.exponential(rng.choice([20, 300]), count)) / scale
    notes = Notes(
        onset_seconds=onset,
        offset_seconds=onset + duration,
        pitch=rng.integers(60, 63, count),
        velocity=rng.integers(1, 128, count),
        program=rng.choice([0, 1, 5, 45], count),
        is_drum=rng.random(count) < 0.2,
    )
    audio = numbered(int(seconds * 16_000) - int(rng.integers(0, 640)))
    return Recording(str(seed), audio, fit_notes(notes, len(audio) / 16_000)[0])


def assert_same_notes(ours: Notes, theirs: Notes) -> None:
    for name in NOTE_COLUMNS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.total_seconds == theirs.total_seconds


@pytest.mark.parametrize("seed", range(12))
def test_tokens_are_those_of_the_recording(seed):
    rng = np.random.default_rng(seed)
    song = random_recording(seed)
    tokenization = Tokenization(
        velocity_bins=int(rng.choice([1, 127])),
        ties=bool(rng.random() < 0.9),
        program_map=str(rng.choice(["full", "slakh", "flat"])),
        trim_overlaps=bool(rng.random() < 0.5),
    )
    entire = tokenization.index(song.notes)
    for piece in cut_pieces(song, PieceLength(60, 40)):
        events = tokenization.index(piece.notes)
        assert events.num_frames == entire.num_frames
        for frame in range(piece.first_frame, piece.first_frame + piece.num_frames, 7):
            ours, expected = (one.segment(frame, 10**6, 38) for one in (events, entire))
            np.testing.assert_array_equal(ours.tokens, expected.tokens)


def test_an_earlier_note_that_ends_a_later_one_is_kept():
    # As tokens say it, the second note ends at 0.1 s, with the first, though it lasts until 2 s.
    song = recording(200, notes=table((0.0, 0.1, 60), (0.05, 2.0, 60), (0.0, 0.3, 62)))
    (_, second, *_) = cut_pieces(song, PieceLength(50, 20))
    assert second.notes.onset_seconds.tolist() == [0.0, 0.05]
    assert Tokenization().index(second.notes).segment(50, 100, 10).tokens.tolist() == (
        Tokenization().index(song.notes).segment(50, 100, 10).tokens.tolist()
    )


@pytest.mark.parametrize("seed", range(6))
def test_joined_pieces_are_the_recording(seed):
    song = random_recording(seed)
    pieces = list(cut_pieces(song, PieceLength(55, 30)))
    frames = count_frames(len(song.audio))
    assert sum(piece.num_frames for piece in pieces) == frames - ((frames - 1) % 55 == 0)
    for piece in pieces:
        start = piece.first_frame * HOP
        stop = start + (piece.num_frames + 30) * HOP
        np.testing.assert_array_equal(piece.audio, song.audio[start:stop])
    joined = join_pieces(pieces)
    np.testing.assert_array_equal(joined.audio, song.audio)
    assert_same_notes(joined.notes, song.notes)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [
        (1, [1]),
        (2000 * HOP - 1, [2000]),
        (2000 * HOP, [2000]),  # and an empty frame
        (2000 * HOP + 319, [2000]),
        (2001 * HOP, [2000, 2]),
        (4400 * HOP, [2000, 2000, 401]),
    ],
)
def test_lengths_of_pieces(samples, frames):
    song = Recording("a", np.zeros(samples, np.int16), table((0.0, 0.01, 60)))
    pieces = list(cut_pieces(song, PAPER_PIECES))
    assert [piece.num_frames for piece in pieces] == frames
    assert [piece.first_frame for piece in pieces] == [2000 * n for n in range(len(frames))]
    assert len(pieces[0].audio) == min(samples, 2272 * HOP)


def test_an_index_knows_all_but_the_audio(tmp_path):
    songs = [random_recording(seed) for seed in range(3)]
    source = MemoryPieces(songs, PieceLength(100, 30))
    # Stored in another order, as Beam does.
    order = np.random.default_rng(0).permutation(len(source))
    PieceIndex.of((source[n] for n in order), source.length).save(tmp_path / "index.npz")
    index = PieceIndex.load(tmp_path / "index.npz")
    assert index.length == PieceLength(100, 30)
    for place, number in enumerate(order):
        piece, expected = index.piece(place), source.without_audio(int(number))
        assert dataclasses.astuple(piece)[:3] == dataclasses.astuple(expected)[:3]
        assert_same_notes(piece.notes, expected.notes)
    for number, places in enumerate(index.pieces_of_recordings):
        (song,) = [song for song in songs if song.id == index.recordings[number]]
        frames = count_frames(len(song.audio))
        assert index.first_frame[places].tolist() == list(range(0, frames - 1, 100))
        assert {index.piece(int(place)).recording for place in places} == {song.id}


@pytest.mark.parametrize("kept", [0, 100, 900])
def test_a_damaged_index(tmp_path, kept):
    path = tmp_path / "index.npz"
    PieceIndex.of(MemoryPieces([random_recording(0)]), PAPER_PIECES).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorpusError, match=r"index\.npz: .*complete index.*prepare it anew"):
        PieceIndex.load(path)


def test_impossible_lengths():
    with pytest.raises(ConfigError, match=r"PieceLength.frames: .*>= 1, got 0"):
        PieceLength(0)
