import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrodiff.music.detokenizer import decode_tokens
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.music.vocabulary import Vocabulary
from tests.support.notation import (
    END,
    OFF,
    ON,
    TIE,
    drum,
    note_rows,
    note_table,
    pitch,
    program,
    shift,
)

# Ids without an event for V = 1.
UNKNOWN = 2
BEYOND = 1391


def decode(*rows, **options):
    starts = [5.12 * i for i in range(len(rows))]
    return decode_tokens(rows, starts, Vocabulary(1), **options)


def decoded(*rows, **options):
    """Returns notes as (onset, offset, pitch), and the two counts."""
    result = decode(*rows, **options)
    notes = [(on, off, pitch_) for on, off, pitch_, *_ in note_rows(result.notes)]
    return notes, result.invalid_events, result.dropped_events


NOTE_ON = [program(0), ON, pitch(60)]


class TestHandWorkedRows:
    def test_note(self):
        row = [TIE, shift(10), program(5), ON, pitch(60), shift(30), OFF, pitch(60), END]
        assert note_rows(decode(row).notes) == [(0.1, 0.3, 60, 127, 5, False)]

    def test_drum_lasts_one_step(self):
        row = [TIE, shift(10), ON, drum(36), END]
        assert note_rows(decode(row).notes) == [(0.1, 0.11, 36, 127, 0, True)]

    def test_velocity_bins(self):
        # Tie is 1260, program 0 is 1261; velocity 64 of 127.
        row = [1260, 1261, 1132 + 64, pitch(60), shift(1), 1132, pitch(60), END]
        result = decode_tokens([row], [0.0], Vocabulary(127))
        assert note_rows(result.notes) == [(0.0, 0.01, 60, 64, 0, False)]

    def test_notes_before_any_velocity_or_program(self):
        row = [TIE, pitch(60), shift(20), OFF, pitch(60), END]
        assert note_rows(decode(row).notes) == [(0.0, 0.2, 60, 100, 0, False)]

    def test_shifts_in_a_row_add_up_and_others_do_not(self):
        row = [TIE, shift(10), shift(5), *NOTE_ON, shift(20), OFF, pitch(60), END]
        assert decoded(row) == ([(0.15, 0.2, 60)], 0, 0)

    def test_unknown_ids_are_skipped_and_do_not_interrupt_a_run_of_shifts(self):
        row = [TIE, shift(10), UNKNOWN, shift(5), BEYOND, *NOTE_ON, shift(20), OFF, pitch(60), END]
        assert decoded(row) == ([(0.15, 0.2, 60)], 2, 0)

    def test_padding_counts_only_before_the_end(self):
        assert decoded([TIE, 0, *NOTE_ON, shift(20), OFF, pitch(60), END, 0, 0]) == (
            [(0.0, 0.2, 60)],
            1,
            0,
        )

    def test_events_do_not_go_back_in_time(self):
        # At step 20, after step 50, the velocity and the pitch are invalid. Both notes last until
        # the end, which gives the second its minimum length of one step.
        row = [TIE, *NOTE_ON, shift(50), pitch(62), shift(20), OFF, pitch(60), END]
        assert decoded(row) == ([(0.0, 0.51, 60), (0.5, 0.51, 62)], 2, 0)

    def test_a_second_onset_ends_the_first_note(self):
        row = [TIE, *NOTE_ON, shift(30), pitch(60), shift(40), OFF, pitch(60), END]
        assert decoded(row) == ([(0.0, 0.3, 60), (0.3, 0.4, 60)], 0, 0)

    def test_offsets_of_silent_notes_are_invalid(self):
        assert decoded([TIE, program(0), OFF, pitch(60), END]) == ([], 1, 0)

    def test_drums_of_no_velocity_are_invalid(self):
        assert decoded([TIE, OFF, drum(36), END]) == ([], 1, 0)

    def test_notes_of_no_duration_last_one_step(self):
        assert decoded([TIE, *NOTE_ON, OFF, pitch(60), END]) == ([(0.0, 0.01, 60)], 0, 0)

    def test_sounding_notes_end_with_the_last_event(self):
        row = [TIE, *NOTE_ON, shift(100), pitch(61), END]
        # The second note starts at 1.0 s and lasts at least one step; all end together.
        assert decoded(row) == ([(0.0, 1.01, 60), (1.0, 1.01, 61)], 0, 0)

    def test_tied_notes_continue_and_others_end(self):
        first = [TIE, *NOTE_ON, pitch(62), shift(100), OFF, pitch(99), END]
        second = [program(0), pitch(60), TIE, shift(50), OFF, pitch(60), END]
        # 62 is not tied and ends at the start of the second segment; 60 ends half a second later.
        # The note-off of 99 is invalid.
        notes, invalid, dropped = decoded(first, second)
        assert notes == [(0.0, 5.12, 62), (0.0, 5.62, 60)]
        assert (invalid, dropped) == (1, 0)

    def test_ties_of_silent_notes_and_repeated_ties_are_invalid(self):
        first = [TIE, *NOTE_ON, END]
        second = [pitch(60), pitch(60), pitch(61), TIE, TIE, shift(50), OFF, pitch(60), END]
        # Invalid: the second 60, 61, and the second tie.
        assert decoded(first, second) == ([(0.0, 5.62, 60)], 3, 0)

    def test_without_tie_sections_notes_continue(self):
        first = [*NOTE_ON, END]
        second = [shift(50), OFF, pitch(60), END]
        assert decoded(first, second, ties=False) == ([(0.0, 5.62, 60)], 0, 0)

    def test_segment_ends_where_the_next_one_starts(self):
        first = [TIE, *NOTE_ON, shift(512), pitch(61), shift(513), pitch(62), pitch(63), END]
        second = [program(0), pitch(60), pitch(61), TIE, shift(8), OFF, pitch(60), pitch(61), END]
        # Step 512 belongs to the first segment; shift(513) and the two tokens after it are dropped.
        assert decoded(first, second) == ([(0.0, 5.2, 60), (5.12, 5.2, 61)], 0, 3)

    def test_last_segment_has_no_end(self):
        row = [TIE, *NOTE_ON, shift(1000), shift(1000), OFF, pitch(60), END]
        assert decoded(row) == ([(0.0, 20.0, 60)], 0, 0)

    def test_starts_are_rounded_down(self):
        result = decode_tokens([[TIE, shift(1), *NOTE_ON, END]], [2.048], Vocabulary(1))
        # 2.048 s is step 204.
        assert result.notes.onset_seconds.tolist() == [2.05]

    def test_nothing(self):
        assert decoded() == ([], 0, 0)
        assert decoded([]) == ([], 0, 0)


@st.composite
def clean_songs(draw):
    """Strategy for songs on the grid of steps without overlaps of equal pitch and program."""
    rows = []
    for pitch_, program_ in draw(
        st.lists(st.tuples(st.integers(0, 127), st.integers(0, 127)), unique=True, max_size=8)
    ):
        step = 0
        gaps = st.tuples(st.integers(0, 400), st.integers(1, 700))
        for silence, duration in draw(st.lists(gaps, max_size=5)):
            onset, step = step + silence, step + silence + duration
            rows.append((onset / 100, step / 100, pitch_, 127, program_, False))
    drums = st.tuples(st.integers(0, 2000), st.integers(0, 127))
    for onset, drum_ in draw(st.lists(drums, unique=True, max_size=8)):
        rows.append((onset / 100, (onset + 1) / 100, drum_, 127, 0, True))
    return rows or [(0.0, 0.01, 60, 127, 0, False)]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(rows=clean_songs(), nudges=st.integers(-4, 4), bins=st.sampled_from([1, 127]))
def test_decoding_gives_back_the_notes_on_the_grid(rows, nudges, bins):
    # Up to 4 ms off the grid, all in the same direction, so that notes do not overlap.
    moved = [(max(0, on + nudges / 1000), off + nudges / 1000, *rest) for on, off, *rest in rows]
    vocabulary = Vocabulary(bins)
    tokenization = Tokenization(velocity_bins=bins, program_map="full")
    song = tokenize_song(note_table(moved), tokenization, strict=True)
    # 0.1 ms later, so that starts such as 15.36 s are not rounded down by a step.
    starts = [5.12 * i + 1e-4 for i in range(len(song.tokens))]
    result = decode_tokens(song.tokens, starts, vocabulary)
    assert sorted(note_rows(result.notes)) == sorted(rows)
    assert (result.invalid_events, result.dropped_events) == (0, 0)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(rows=st.lists(st.lists(st.integers(-5, 1400), max_size=60), max_size=4))
def test_any_tokens_decode(rows):
    result = decode(*rows)
    notes = result.notes
    assert np.all(notes.offset_seconds - notes.onset_seconds > 0.009)
    assert result.invalid_events + result.dropped_events <= sum(map(len, rows))


def golden_cases():
    songs = ["band_drums", "dense", "extremes", "held_chords", "overlaps", "piano_pedal"]
    return [f"{song}|bins=1|ties=1|trim=1{end}" for song in songs for end in ("", "|corrupt")]


def test_golden_keys_are_all_there(golden):
    assert set(json.loads((golden / "decoded_notes.json").read_text())) == set(golden_cases())


@pytest.mark.parametrize("key", golden_cases())
def test_decoded_notes_equal_the_released_ones(golden, key):
    case = json.loads((golden / "decoded_notes.json").read_text())[key]
    result = decode(*case["rows"])
    expected = [
        (onset, offset, pitch_, velocity, program_, is_drum)
        for pitch_, velocity, program_, is_drum, onset, offset in case["notes"]
    ]
    assert note_rows(result.notes) == expected
    assert (result.invalid_events, result.dropped_events) == (case["invalid"], case["dropped"])
