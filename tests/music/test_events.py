import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrodiff.music.events import CHECKPOINT_EVENTS, index_notes, index_onsets
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes, trim_overlaps
from spectrodiff.music.vocabulary import Vocabulary
from tests.support.notation import END, OFF, ON, TIE, drum, note_table, pitch, program, shift

NO_LIMIT = 10_000


def segment_tokens(notes, start_frame=0, **options):
    return index_notes(notes, Vocabulary(1), **options).segment(start_frame).tokens.tolist()


class TestHandWorkedSegments:
    def test_one_note(self):
        notes = note_table([(0.0, 0.5, 60, 100, 0, False)])
        # No shift at step 0; the program appears once; the offset 50 steps later has velocity 0.
        expected = [TIE, program(0), ON, pitch(60), shift(50), OFF, pitch(60), END]
        assert segment_tokens(notes) == expected

    def test_shifts_count_from_the_start_of_the_segment(self):
        notes = note_table([(0.1, 0.3, 60, 100, 0, False), (0.2, 0.4, 62, 100, 0, False)])
        # Shifts are 10 20 30 40, not 10 10 10 10.
        expected = [TIE, shift(10), program(0), ON, pitch(60), shift(20), pitch(62)]
        expected += [shift(30), OFF, pitch(60), shift(40), pitch(62), END]
        assert segment_tokens(notes) == expected

    def test_order_at_one_instant(self):
        rows = [
            (0.5, 1.0, 38, 100, 0, True),  # drums come last
            (0.5, 1.0, 60, 100, 40, False),  # higher programs after lower ones
            (0.5, 1.0, 72, 100, 0, False),
            (0.5, 1.0, 64, 100, 0, False),  # lower pitches before higher ones
            (0.0, 0.5, 72, 100, 40, False),  # offsets before onsets, for any program
        ]
        expected = [TIE, program(40), ON, pitch(72)]
        expected += [shift(50), OFF, pitch(72)]
        expected += [program(0), ON, pitch(64), pitch(72), program(40), pitch(60), drum(38)]
        expected += [shift(100), program(0), OFF, pitch(64), pitch(72), program(40), pitch(60), END]
        assert segment_tokens(note_table(rows)) == expected

    def test_order_within_a_step_is_that_of_the_exact_times(self):
        # Both round to step 50, and the onset is first.
        notes = note_table([(0.2, 0.503, 60, 100, 0, False), (0.498, 0.9, 50, 100, 0, False)])
        expected = [TIE, shift(20), program(0), ON, pitch(60), shift(50), pitch(50), OFF, pitch(60)]
        expected += [shift(90), pitch(50), END]
        assert segment_tokens(notes) == expected

    def test_steps_round_half_to_even(self):
        # 0.125 s and 0.375 s are exact in binary: 12.5 becomes 12, 37.5 becomes 38.
        notes = note_table([(0.125, 0.375, 60, 100, 0, False)])
        expected = [TIE, shift(12), program(0), ON, pitch(60), shift(38), OFF, pitch(60), END]
        assert segment_tokens(notes) == expected

    def test_drums_have_neither_program_nor_end(self):
        notes = note_table([(0.0, 0.3, 36, 100, 7, True), (0.1, 0.2, 38, 100, 0, True)])
        assert segment_tokens(notes) == [TIE, ON, drum(36), shift(10), drum(38), END]

    def test_tie_section_lists_sounding_notes_by_program_and_pitch(self):
        rows = [
            (0.0, 6.0, 62, 100, 9, False),
            (1.0, 6.0, 60, 100, 9, False),
            (2.0, 6.0, 99, 100, 3, False),
            (3.0, 5.12, 50, 100, 3, False),  # ends in this segment: listed
            (4.0, 5.11, 40, 100, 3, False),  # ended before this segment: not listed
            (4.0, 6.0, 36, 100, 0, True),  # a drum: not listed
        ]
        expected = [program(3), pitch(50), pitch(99), program(9), pitch(60), pitch(62), TIE]
        # The offset at step 0 needs no shift; the current program after the tie section is 9.
        expected += [program(3), OFF, pitch(50)]
        expected += [shift(88), pitch(99), program(9), pitch(60), pitch(62), END]
        assert segment_tokens(note_table(rows), start_frame=256) == expected

    def test_program_of_the_tie_section_is_not_repeated(self):
        notes = note_table([(0.0, 6.0, 60, 100, 9, False)])
        # After the tie section the first event needs a velocity but no program.
        expected = [program(9), pitch(60), TIE, shift(88), OFF, pitch(60), END]
        assert segment_tokens(notes, start_frame=256) == expected

    def test_without_ties(self):
        notes = note_table([(0.0, 6.0, 60, 100, 9, False)])
        assert segment_tokens(notes, 256, ties=False) == [
            shift(88),
            program(9),
            OFF,
            pitch(60),
            END,
        ]

    def test_segment_ends_before_its_last_step_unless_the_song_ends_there(self):
        first = (0.0, 5.12, 60, 100, 0, False)
        opening = [TIE, program(0), ON, pitch(60)]
        # Step 512 belongs to the second segment if there is one: 5.14 s are 258 frames.
        longer = note_table([first, (5.12, 5.14, 60, 100, 0, False)])
        assert segment_tokens(longer) == [*opening, END]
        # 5.119 s are 256 frames, but round to step 512.
        alone = note_table([(0.0, 5.119, 60, 100, 0, False)])
        assert segment_tokens(alone) == [*opening, shift(512), OFF, pitch(60), END]

    def test_silence_after_the_song(self):
        notes = note_table([(0.0, 0.5, 60, 100, 0, False)])
        assert segment_tokens(notes, start_frame=26) == [TIE, END]
        assert segment_tokens(notes, start_frame=10_000) == [TIE, END]

    def test_a_note_without_offset_in_the_tokens_continues(self):
        # At 1.0 s the offset comes before the onset, so nothing ends the note without duration.
        notes = note_table([(1.0, 1.0, 60, 100, 0, False)], total_seconds=20.0)
        assert segment_tokens(notes, start_frame=256) == [program(0), pitch(60), TIE, END]

    def test_the_first_offset_ends_both_of_two_overlapping_notes(self):
        rows = [(0.0, 1.0, 60, 100, 0, False), (0.5, 5.0, 60, 100, 0, False)]
        # Frame 40 (0.8 s) has one note to tie, not two; frame 60 (1.2 s) has none.
        expected = [shift(20), OFF, pitch(60), shift(420), pitch(60), END]
        assert segment_tokens(note_table(rows), 40) == [program(0), pitch(60), TIE, *expected]
        expected = [shift(380), program(0), OFF, pitch(60), END]
        assert segment_tokens(note_table(rows), 60) == [TIE, *expected]

    def test_flat_programs_leave_no_program_tokens(self):
        rows = [(0.0, 6.0, 60, 100, 9, False), (0.0, 6.0, 50, 100, 30, False)]
        notes = note_table(rows)
        expected = [TIE, ON, pitch(50), pitch(60), END]
        assert segment_tokens(notes, program_map="flat") == expected
        expected = [pitch(50), pitch(60), TIE, shift(88), OFF, pitch(50), pitch(60), END]
        assert segment_tokens(notes, 256, program_map="flat") == expected

    def test_programs_are_mapped_before_events_are_ordered(self):
        # Program 25 becomes Slakh class 24, so the lower pitch comes first.
        rows = [(0.0, 1.0, 60, 100, 24, False), (0.0, 1.0, 50, 100, 25, False)]
        expected = [TIE, program(24), ON, pitch(50), pitch(60)]
        expected += [shift(100), OFF, pitch(50), pitch(60), END]
        assert segment_tokens(note_table(rows), program_map="slakh") == expected

    def test_velocities(self):
        rows = [(0.0, 1.0, 60, 5, 0, False), (0.0, 1.0, 61, 5, 0, False), (0.0, 1, 62, 9, 0, False)]
        tokens = index_notes(note_table(rows), Vocabulary(127)).segment(0).tokens.tolist()
        # Tie is 1260 and program 0 is 1261 here; an equal velocity is not repeated.
        expected = [1260, 1261, 1132 + 5, pitch(60), pitch(61), 1132 + 9, pitch(62)]
        assert tokens == [*expected, shift(100), OFF, pitch(60), pitch(61), pitch(62), END]


class TestMaxTokens:
    notes = note_table([(0.1 * i, 0.1 * i + 9, 60 + i, 100, 0, False) for i in range(4)])

    def test_segment_is_truncated_after_a_complete_event(self):
        segment = index_notes(self.notes, Vocabulary(1)).segment(0, max_tokens=8)
        # tie, program on 60, shift 61, shift 62, shift 63, end: 11 tokens. The third shift would
        # fit into 8 tokens, but not the pitch after it.
        assert segment.tokens.tolist() == [
            *(TIE, program(0), ON, pitch(60), shift(10), pitch(61), END),
        ]
        assert (segment.num_tokens, segment.left_out_events) == (11, 2)

    def test_exact_fit_is_not_truncated(self):
        segment = index_notes(self.notes, Vocabulary(1)).segment(0, max_tokens=11)
        assert (len(segment.tokens), segment.num_tokens, segment.left_out_events) == (11, 11, 0)

    def test_a_truncated_tie_section_is_closed(self):
        # Frame 256 has program 0, four pitches, tie; then four offsets and the end.
        segment = index_notes(self.notes, Vocabulary(1)).segment(256, max_tokens=5)
        assert segment.tokens.tolist() == [program(0), pitch(60), pitch(61), TIE, END]
        assert segment.left_out_events == 2 + 4
        segment = index_notes(self.notes, Vocabulary(1)).segment(256, max_tokens=2)
        assert segment.tokens.tolist() == [TIE, END]
        assert segment.left_out_events == 4 + 4

    def test_padding(self):
        segment = index_notes(self.notes, Vocabulary(1)).segment(0)
        padded = segment.padded(16)
        assert padded.dtype == np.int32
        assert padded.tolist() == segment.tokens.tolist() + [0] * 5


def test_frames_of_a_song():
    # One frame more than there are complete hops of 20 ms.
    def frames(seconds):
        return index_notes(note_table([], total_seconds=seconds), Vocabulary(1)).num_frames

    assert [frames(s) for s in (0.0, 0.019, 0.02, 5.1, 5.12)] == [1, 1, 2, 256, 257]


def tokens_from_start(notes: Notes, start_frame: int) -> list[int]:
    """Reference implementation: processes each event from the start of the song."""
    rows = sorted(
        range(len(notes)), key=lambda i: (notes.is_drum[i], notes.program[i], notes.pitch[i])
    )
    events = [(notes.offset_seconds[i], i, 0) for i in rows if not notes.is_drum[i]]
    events += [(notes.onset_seconds[i], i, 1) for i in rows]
    events = sorted(events, key=lambda event: event[0])
    num_frames = int(notes.total_seconds * 16000) // 320 + 1
    first_step, end_step = 2 * start_frame, 2 * (start_frame + 256)
    if start_frame + 256 >= num_frames:
        end_step = 10**9
    sounding, out, state = set(), [], {}

    def put(kind, token):
        if state.get(kind) != token:
            out.append(token)
        state[kind] = token

    chosen = []
    for seconds, row, velocity in events:
        step = round(float(seconds) * 100)
        key = (int(notes.program[row]), int(notes.pitch[row]))
        if first_step <= step < end_step:
            chosen.append((step - first_step, row, velocity))
        elif step < first_step and not notes.is_drum[row]:
            sounding = sounding | {key} if velocity else sounding - {key}
    for program_, pitch_ in sorted(sounding):
        put("program", program(program_))
        out.append(pitch(pitch_))
    out.append(TIE)
    state["shift"] = shift(0)
    for steps, row, velocity in chosen:
        put("shift", shift(steps))
        if notes.is_drum[row]:
            put("velocity", OFF + velocity)
            out.append(drum(int(notes.pitch[row])))
        else:
            put("program", program(int(notes.program[row])))
            put("velocity", OFF + velocity)
            out.append(pitch(int(notes.pitch[row])))
    return [*out, END]


# Few different pitches and times, so that notes overlap, touch and repeat.
messy_rows = st.tuples(
    st.integers(0, 1500),
    st.integers(0, 300),
    st.integers(60, 62),
    st.sampled_from([0, 40]),
    st.booleans(),
).map(lambda t: (t[0] / 100, (t[0] + t[1]) / 100, t[2], 100, t[3], t[4]))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(rows=st.lists(messy_rows, min_size=1, max_size=40), start_frame=st.integers(0, 900))
def test_any_segment_equals_that_of_the_reference(rows, start_frame):
    notes = note_table(rows)
    assert segment_tokens(notes, start_frame) == tokens_from_start(notes, start_frame)


def test_long_songs_with_many_checkpoints():
    rng = np.random.default_rng(0)
    count = 5 * CHECKPOINT_EVENTS
    onset = rng.uniform(0, 400, count)
    notes = Notes(
        onset_seconds=onset,
        # Some notes sound across several checkpoints.
        offset_seconds=onset + rng.choice([0.0, 0.1, 1.0, 60.0, 300.0], count),
        pitch=rng.integers(0, 128, count),
        velocity=rng.integers(1, 128, count),
        program=rng.integers(0, 4, count),
        is_drum=rng.random(count) < 0.2,
    )
    events = index_notes(notes, Vocabulary(1))
    # Frames of events next to a checkpoint, and random ones.
    near = [events.step[k * CHECKPOINT_EVENTS + d] // 2 for k in range(1, 9) for d in (-1, 0, 1)]
    for start_frame in [0, *near, *rng.integers(0, events.num_frames, 10), events.num_frames]:
        tokens = events.segment(int(start_frame), NO_LIMIT).tokens.tolist()
        assert tokens == tokens_from_start(notes, int(start_frame))


def golden_keys():
    songs = ["band_drums", "dense", "extremes", "held_chords", "overlaps", "piano_pedal"]
    options = [(1, 1, 0), (1, 1, 1), (127, 1, 0), (127, 0, 0)]
    return [f"{song}|bins={v}|ties={t}|trim={x}" for song in songs for v, t, x in options]


def test_golden_keys_are_all_there(golden):
    assert set(np.load(golden / "tokens_dataset.npz")) == set(golden_keys())


@pytest.mark.parametrize("key", golden_keys())
def test_training_tokens_equal_the_released_ones(golden, key):
    expected = np.load(golden / "tokens_dataset.npz")[key]
    song, bins, ties, trim = (part.split("=")[-1] for part in key.split("|"))
    notes = read_midi(golden / "midi" / f"{song}.mid")
    if trim == "1":
        notes = trim_overlaps(notes)
    events = index_notes(notes, Vocabulary(int(bins)), ties=ties == "1")
    starts = range(0, events.num_frames, 256)
    actual = [events.segment(s, NO_LIMIT).padded(expected.shape[1]) for s in starts]
    np.testing.assert_array_equal(np.stack(actual), expected)


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_the_tokens(seed):
    rng = np.random.default_rng(seed)
    count = [0, 1, 60, 300][seed % 4]
    onset = rng.integers(0, 2000, count) / rng.choice([100.0, 97.3])
    notes = Notes(
        onset_seconds=onset,
        offset_seconds=onset + rng.integers(0, 300, count) / 100,
        pitch=rng.integers(60, 64, count),
        velocity=rng.integers(1, 128, count),
        program=rng.choice([0, 5, 30, 45], count),
        is_drum=rng.random(count) < 0.2,
        total_seconds=float(rng.choice([0.0, 24.0])),
    )
    for program_map in ("full", "slakh", "flat"):
        for ties in (True, False):
            vocabulary = Vocabulary(int(rng.choice([1, 127])))
            song = index_notes(notes, vocabulary, ties=ties, program_map=program_map)
            starts = rng.integers(0, song.num_frames + 50, 40)
            assert_counts(song, starts)
    onsets = index_onsets(notes, Vocabulary(1))
    assert_counts(onsets, rng.integers(0, onsets.num_frames + 50, 40))


def assert_counts(song, starts):
    for frames in (4, 256):
        expected = [song.segment(int(n), 10**6, frames).num_tokens for n in starts]
        assert song.token_counts(starts, frames).tolist() == expected


def test_onsets_only_by_hand():
    rows = [
        # onset, offset, pitch, velocity, program, drum
        (0.0, 9.0, 64, 100, 0, False),
        (0.0, 0.5, 60, 1, 40, False),
        (0.0, 0.1, 38, 100, 0, True),  # a drum becomes the pitch of its key
        (0.3, 0.4, 60, 100, 0, False),
        (0.3, 0.6, 60, 100, 41, False),  # two instruments in unison
        (5.12, 5.5, 60, 100, 0, False),  # in the second segment
        (5.3, 5.5, 62, 100, 0, False),
    ]
    song = index_onsets(note_table(rows), Vocabulary(1))
    first = [pitch(38), pitch(60), pitch(64), shift(30), pitch(60), pitch(60), END]
    assert song.segment(0).tokens.tolist() == first
    # The first note is held over, which is not stated; shifts count from the segment's start.
    assert song.segment(256).tokens.tolist() == [pitch(60), shift(18), pitch(62), END]
    # The length of the song is that of its notes, 9 s at 50 frames per second.
    assert song.num_frames == 451
    assert index_onsets(note_table([]), Vocabulary(1)).segment(0).tokens.tolist() == [END]
    # Truncated between events.
    assert song.segment(0, max_tokens=5).tokens.tolist() == [*first[:3], END]
