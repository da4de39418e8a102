"""Examples cut from recordings whose samples tell where they come from."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.data.loading.examples import Cutter, Example, ExampleFormat, draw_start
from spectrodiff.data.pieces import PieceLength, cut_pieces, whole
from spectrodiff.data.recordings import Recording
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.music.vocabulary import RELEASED_VOCABULARY, Event, Vocabulary
from tests.support.corpora import HOP, SMALL, dense_then_sparse, recording, table


def events(tokens: np.ndarray, vocabulary: Vocabulary = RELEASED_VOCABULARY) -> list[Event]:
    assert tokens[-1] == 1
    return [vocabulary.decode(int(token)) for token in tokens[:-1]]


@pytest.mark.parametrize(
    ("target_frame", "context_frames"), [(0, 0), (1, 1), (8, 8), (20, 8), (39, 8)]
)
def test_audio_is_exact_to_the_sample(target_frame, context_frames):
    song = recording(40)
    example = Cutter(whole(song), SMALL).cut(target_frame)
    assert example.context_frames == context_frames
    assert example.audio.dtype == np.int16
    first = (target_frame - 8) * HOP
    expected = [
        song.audio[sample] if 0 <= sample < len(song.audio) else 0
        for sample in range(first, first + (8 + 4 + 16) * HOP)
    ]
    np.testing.assert_array_equal(example.audio, expected)


def test_tokens_by_hand():
    notes = Notes(
        # A piano note held over the example's start, a violin in it, a drum in it, one after it.
        onset_seconds=np.array([1.0, 2.05, 2.06, 2.081]),
        offset_seconds=np.array([3.0, 2.07, 2.07, 2.9]),
        pitch=np.array([60, 72, 38, 50]),
        velocity=np.array([100, 1, 127, 90]),
        program=np.array([0, 41, 0, 0]),
        is_drum=np.array([False, False, True, False]),
    )
    example = Cutter(whole(recording(200, notes=notes)), SMALL).cut(
        100
    )  # frames 100 to 104: 2.00 to 2.08 s
    assert events(example.tokens) == [
        Event("program", 0),
        Event("pitch", 60),
        Event("tie", 0),
        Event("shift", 5),
        Event("program", 41),
        Event("velocity", 1),
        Event("pitch", 72),
        Event("shift", 6),
        Event("drum", 38),
        Event("shift", 7),
        Event("velocity", 0),
        Event("pitch", 72),
    ]


@pytest.mark.parametrize("options", [(1, True, True), (127, True, False), (127, False, False)])
@pytest.mark.parametrize("name", ["band_drums", "held_chords", "overlaps", "piano_pedal"])
def test_whole_segments_are_the_reference_tokens(golden, name, options):
    bins, ties, trim = options
    notes = read_midi(golden / "midi" / f"{name}.mid")
    song = Recording(name, np.zeros(0, np.int16), notes)
    with np.load(golden / "tokens_dataset.npz") as rows:
        expected = rows[f"{name}|bins={bins}|ties={int(ties)}|trim={int(trim)}"]
    tokenization = Tokenization(
        velocity_bins=bins, ties=ties, program_map="full", trim_overlaps=trim
    )
    cutter = Cutter(whole(song), ExampleFormat(tokenization=tokenization))
    for number, row in enumerate(expected):
        np.testing.assert_array_equal(cutter.cut(256 * number).tokens, row[row > 0])


@pytest.mark.parametrize("program_map", ["full", "slakh", "flat"])
def test_tokens_at_any_frame_are_those_of_a_song_that_begins_later(program_map):
    """Silence before a song moves any of its frames to where a segment begins."""
    rng = np.random.default_rng(0)
    # Far from where a step is rounded up, and no onset at the time of an offset, so that adding
    # seconds cannot change the order of events.
    onset, duration = rng.integers(0, 2000, 300), rng.integers(1, 300, 300)
    notes = Notes(
        onset_seconds=onset / 100 + 0.003,
        offset_seconds=(onset + duration) / 100 + 0.002,
        pitch=rng.integers(50, 70, 300),
        velocity=rng.integers(1, 128, 300),
        program=rng.choice([0, 30, 45], 300),
        is_drum=rng.random(300) < 0.2,
        total_seconds=24.005,
    )
    tokenization = Tokenization(program_map=program_map)
    example_format = ExampleFormat(tokenization=tokenization)
    song = Recording("song", np.zeros(24 * 16_000 + 80, np.int16), notes)
    cutter = Cutter(whole(song), example_format)
    for frame in rng.integers(0, 1201, 12):
        silent_frames = -frame % 256
        seconds = silent_frames * 0.02
        later = dataclasses.replace(
            notes,
            onset_seconds=notes.onset_seconds + seconds,
            offset_seconds=notes.offset_seconds + seconds,
            total_seconds=notes.total_seconds + seconds,
        )
        rows = tokenize_song(later, tokenization).tokens
        row = rows[(frame + silent_frames) // 256]
        np.testing.assert_array_equal(cutter.cut(int(frame)).tokens, row[row > 0])


def test_overlaps_are_trimmed_for_training():
    # The first note ends where the second of the same pitch begins, at 0.02 s.
    song = recording(100, notes=table((0.0, 0.06, 60), (0.02, 0.07, 60)))
    kinds = [
        [event.value for event in events(Cutter(whole(song), example_format).cut(0).tokens)]
        for trim in (True, False)
        for example_format in (
            dataclasses.replace(SMALL, tokenization=Tokenization(trim_overlaps=trim)),
        )
    ]
    # tie; program, on, pitch; at 2 off, pitch, on, pitch; at 7 off, pitch
    assert kinds[0] == [0, 0, 1, 60, 2, 0, 60, 1, 60, 7, 0, 60]
    # tie; program, on, pitch; at 2 pitch again; at 6 off, pitch; at 7 pitch
    assert kinds[1] == [0, 0, 1, 60, 2, 60, 6, 0, 60, 7, 60]


@pytest.mark.parametrize("trim", [False, True])
def test_examples_of_pieces_are_those_of_the_recording(trim):
    rng = np.random.default_rng(3)
    onset = np.sort(rng.uniform(0, 11.5, 200))
    notes = Notes(
        onset_seconds=onset,
        offset_seconds=np.minimum(onset + rng.exponential(2.0, 200) + 0.01, 12.0),
        pitch=rng.integers(60, 64, 200),
        velocity=rng.integers(1, 128, 200),
        program=rng.choice([0, 1, 40], 200),
        is_drum=rng.random(200) < 0.2,
    )
    song = recording(601, notes=notes)
    example_format = dataclasses.replace(
        SMALL, max_tokens=2048, tokenization=Tokenization(trim_overlaps=trim)
    )
    entire = Cutter(whole(song), example_format)
    pieces = list(cut_pieces(song, PieceLength(50, 4 + 16)))
    assert [piece.num_frames for piece in pieces] == [50] * 12
    for piece in pieces:
        cutter = Cutter(piece, example_format)
        for frame in range(piece.num_frames):
            expected = entire.cut(piece.first_frame + frame)
            example = cutter.cut(frame)
            np.testing.assert_array_equal(example.tokens, expected.tokens)
            # The context ends where the piece begins, the segment is complete.
            assert example.context_frames == min(frame, 8)
            silent = (8 - example.context_frames) * HOP
            assert not example.audio[:silent].any()
            np.testing.assert_array_equal(example.audio[silent:], expected.audio[silent:])


# Drawing


def draw(cutter: Cutter, rng: np.random.Generator, num_frames: int) -> Example:
    return cutter.cut_or_replace(draw_start(rng, num_frames), rng)


def test_number_of_context_frames_is_uniform():
    # With C + 2 frames, a target can start at frames 0 to C: every number of context frames once.
    cutter, rng = Cutter(whole(recording(10)), SMALL), np.random.default_rng(0)
    draws = 9000
    counts = np.bincount([draw(cutter, rng, 10).context_frames for _ in range(draws)])
    assert len(counts) == 9
    # Each is binomial with mean 1000 and deviation 30.
    assert np.all(np.abs(counts - draws / 9) < 4 * 30), counts


def test_targets_start_anywhere_but_at_the_last_frame():
    rng = np.random.default_rng(0)
    cutter = Cutter(whole(recording(40)), SMALL)
    starts = np.array([draw(cutter, rng, 40).audio[8 * HOP] // HOP for _ in range(7800)])
    counts = np.bincount(starts)
    # [-C, frames - C - 1) for the context is frames 0 to 38 for the target.
    assert len(counts) == 39
    assert np.all(np.abs(counts - 200) < 4.5 * np.sqrt(200)), counts


def test_recordings_shorter_than_a_frame():
    example = draw(Cutter(whole(recording(1)), SMALL), np.random.default_rng(0), 1)
    assert example.context_frames == 0
    assert np.count_nonzero(example.audio) == 7


def test_examples_of_too_many_notes_are_replaced_and_counted():
    cutter, rng = Cutter(whole(dense_then_sparse()), SMALL), np.random.default_rng(0)
    examples = [draw(cutter, rng, 40) for _ in range(2000)]
    assert not any(example.truncated for example in examples)
    # Of 39 frames the first ten are too dense.
    frames = {int(example.audio[8 * HOP]) // HOP for example in examples}
    assert frames == set(range(10, 39))
    skipped = sum(example.skipped for example in examples)
    assert skipped / (skipped + 2000) == pytest.approx(10 / 39, abs=0.03)


def test_examples_of_too_many_notes_are_truncated_if_wanted_or_if_there_are_no_others():
    rng = np.random.default_rng(0)
    truncating = Cutter(whole(dense_then_sparse()), dataclasses.replace(SMALL, overflow="truncate"))
    share = np.mean([draw(truncating, rng, 40).truncated for _ in range(2000)])
    assert share == pytest.approx(10 / 39, abs=0.04)
    rows = [(0.01 * n, 0.01 * n + 0.5, 20 + n % 100) for n in range(100)]
    dense = whole(recording(30, notes=table(*rows)))
    everywhere = Cutter(dense, dataclasses.replace(SMALL, max_tokens=9))
    example = draw(everywhere, rng, 30)
    assert (example.truncated, example.skipped, len(example.tokens)) == (True, 20, 9)
