import logging

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.midi.writer import write_midi
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.music.tokenizer import Overflow, tokenize, tokenize_song
from tests.support.notation import END, TIE, note_table, pitch

SONGS = ["band_drums", "dense", "extremes", "held_chords", "overlaps", "piano_pedal"]


@pytest.mark.parametrize("song", SONGS)
def test_rendering_tokens_equal_the_released_ones(golden, song):
    expected = np.load(golden / "tokens_full_programs_to_slakh.npz")[song]
    actual = tokenize(golden / "midi" / f"{song}.mid", strict=True)
    assert actual.dtype == np.int32
    np.testing.assert_array_equal(actual, expected)


def test_notes_and_files_give_the_same(golden):
    path = golden / "midi" / "piano_pedal.mid"
    np.testing.assert_array_equal(tokenize(read_midi(path)), tokenize(path))


def test_options_reach_the_events(golden):
    song = tokenize_song(
        golden / "midi" / "band_drums.mid",
        Tokenization(velocity_bins=127, ties=False, program_map="full"),
        max_tokens=501,
    )
    expected = np.load(golden / "tokens_dataset.npz")["band_drums|bins=127|ties=0|trim=0"]
    np.testing.assert_array_equal(song.tokens, expected)
    # The song has 14.4727 s: 723 complete hops of 20 ms, and one frame more.
    assert song.num_frames == 724


def test_onsets_only():
    notes = note_table([(0.0, 7.0, 60, 100, 40, False), (6.0, 7.0, 38, 100, 0, True)])
    tokens = tokenize_song(notes, Tokenization(ties=False, onsets_only=True), max_tokens=4).tokens
    # The second segment begins at 5.12 s.
    assert tokens.tolist() == [[1004 + 60, 1, 0, 0], [3 + 88, 1004 + 38, 1, 0]]
    with pytest.raises(ConfigError, match=r"Tokenization.ties: expected False with onsets_only"):
        Tokenization(onsets_only=True)


FULL = Tokenization(program_map="full")
# Sixteen chords of 128 notes, each with another program, that end in the second segment.
CROWDED = note_table(
    [(0.1 * chord, 6.0, key, 100, chord, False) for chord in range(16) for key in range(128)]
)


def test_segments_that_are_too_long_are_truncated_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        song = tokenize_song(CROWDED, FULL)
    assert song.overflows == (
        # A tie, a velocity and an end; 16 programs, 15 shifts and 2048 pitches: 2082. That is 34
        # more than 2048, and the last 34 are all pitches.
        Overflow(segment=0, num_tokens=2082, left_out_events=34),
        # 16 programs, 2048 pitches and a tie; then the offsets: a shift, a velocity, 16 programs
        # and 2048 pitches; an end: 4132. Besides tie and end, 2046 tokens fit: 15 programs with all
        # 128 pitches, and one with 110; 18 ties and all offsets are left out.
        Overflow(segment=1, num_tokens=4132, left_out_events=18 + 2048),
    )
    assert song.tokens.shape == (2, 2048)
    # The last pitch of the first segment is 127 - 34, of program 15.
    assert song.tokens[0, -2:].tolist() == [pitch(93), END]
    assert song.tokens[1, -3:].tolist() == [pitch(109), TIE, END]
    assert "segment 0 (from 0.00 s) needs 2082 tokens, more than 2048;" in caplog.text
    assert "segment 1 (from 5.12 s)" in caplog.text
    assert "its last 2066 events are left out" in caplog.text


def test_strict_refuses_segments_that_are_too_long(tmp_path):
    write_midi(CROWDED, tmp_path / "crowded.mid")
    with pytest.raises(MidiError, match=r"crowded\.mid: .*2048 tokens.*got 2082 in segment 0"):
        tokenize_song(tmp_path / "crowded.mid", FULL, strict=True)


def test_a_song_that_fits_has_no_warnings(caplog, golden):
    with caplog.at_level(logging.WARNING):
        song = tokenize_song(golden / "midi" / "dense.mid")
    assert song.overflows == ()
    assert not caplog.records


def test_song_without_notes_is_refused():
    with pytest.raises(MidiError, match="a song with notes"):
        tokenize(note_table([], total_seconds=10.0))


def test_remarks_of_a_file_are_logged_once(midi_cases, caplog):
    cut = midi_cases / "cut_in_the_middle.mid"
    tokenize_song(cut)
    assert caplog.messages == [f"{cut}: track 1 is cut off at byte 76"]
    tokenize_song(read_midi(cut))
    assert len(caplog.messages) == 1
