"""Songs that are played live: the tokens of their segments, and how their parts join."""

import dataclasses
import gc
import logging
import os
import threading
import tracemalloc
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import spectrodiff as sd
from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.music.steering import Steering
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.synthesis.live import Live
from tests.support.inverters import LoudnessInverter
from tests.support.notation import END, OFF, ON, TIE, note_table, pitch, program, shift
from tests.support.recorded import FRAMES, recorded_engine

# A segment has 16 frames, 0.32 s, 32 steps.
SILENT = (TIE, END)


def live_song(tokenization=None, overlap=0, **settings):
    """A live song, and the tokens of the segments that have been pulled."""
    engine, record = recorded_engine(tokenization, overlap, note_tokens=512)
    return Live(engine, **settings), record.tokens


def pulled(live, segments):
    return [live.pull() for _ in range(segments)]


def test_a_key_that_is_held_and_released():
    live, tokens = live_song()
    live.note_on(60, program=5, seconds=0.1)
    pulled(live, 2)
    live.note_off(60, program=5, seconds=0.74)
    pulled(live, 2)
    held = (program(5), pitch(60), TIE)
    assert tokens == [
        (TIE, shift(10), program(5), ON, pitch(60), END),
        (*held, END),
        (*held, shift(10), OFF, pitch(60), END),
        SILENT,
    ]


def test_what_comes_late_sounds_from_the_next_segment_on():
    live, tokens = live_song()
    assert live.seconds == 0.0
    live.pull()
    assert live.seconds == 0.32
    live.note_on(60, seconds=0.2)  # 0.12 s late
    live.note_off(60, seconds=0.3)  # 0.1 s after it was pressed
    live.note_on(64)
    live.pull()
    live.note_off(64)
    live.pull()
    begin = (ON, pitch(60), pitch(64))
    assert tokens == [
        SILENT,
        (TIE, program(0), *begin, shift(10), OFF, pitch(60), END),
        (program(0), pitch(64), TIE, OFF, pitch(64), END),
    ]


def test_a_late_note_keeps_its_length_at_another_tempo():
    live, tokens = live_song(steering=Steering(tempo=2.0))
    live.pull()
    live.note_on(60, seconds=0.2)
    live.note_off(60, seconds=0.3)
    live.pull()
    assert tokens[1] == (TIE, program(0), ON, pitch(60), shift(10), OFF, pitch(60), END)


def test_a_segment_that_fails_comes_again_with_its_notes():
    engine, record = recorded_engine()
    fails = [True]

    def generate(batch, on_steps=None):
        if fails.pop():
            raise MemoryError("device")
        return record(batch, on_steps)

    kept = ("steps", "num_devices", "overlap")
    failing = types.SimpleNamespace(**{n: getattr(record, n) for n in kept})
    model = type("Failing", (), {"__call__": staticmethod(generate), "config": record.config,
                                 "tuning": record.tuning, **vars(failing)})()  # fmt: skip
    live = Live(dataclasses.replace(engine, segments=lambda _: model))
    live.note_on(60, seconds=0.05)
    with pytest.raises(MemoryError):
        live.pull()
    assert live.seconds == 0.0
    fails.append(False)
    live.pull()
    assert record.tokens == [(TIE, shift(5), program(0), ON, pitch(60), END)]


def test_a_key_that_is_struck_again_ends_its_note():
    live, tokens = live_song()
    live.note_on(60, seconds=0.0)
    live.note_on(60, seconds=0.1)
    live.note_off(60, seconds=0.2)
    live.note_off(60, seconds=0.25)  # is not held any more
    live.pull()
    again = (shift(10), OFF, pitch(60), ON, pitch(60), shift(20), OFF, pitch(60), END)
    assert tokens == [(TIE, program(0), ON, pitch(60), *again)]


def test_a_note_has_an_end_however_short_it_is():
    live, tokens = live_song()
    live.note_on(60, seconds=0.1)
    live.note_off(60, seconds=0.1)
    pulled(live, 2)
    note = (shift(10), program(0), ON, pitch(60), shift(11), OFF, pitch(60))
    assert tokens == [(TIE, *note, END), SILENT]


GRID = st.integers(0, 1500).map(lambda steps: steps / 1000)
LENGTH = st.integers(1, 1500).map(lambda steps: steps / 1000)
NOTE = st.tuples(
    GRID, LENGTH, st.integers(60, 62), st.integers(1, 127), st.integers(0, 2), st.booleans()
)


# Its end is halfway between two steps, and rounded differently if time 0 is moved.
@example([(0.0, 0.155, 60, 64, 0, False)], Tokenization(program_map="full"), 8)
@settings(max_examples=100, deadline=None)
@given(
    st.lists(NOTE, min_size=1, max_size=25),
    st.sampled_from(
        [
            Tokenization(program_map="full"),
            Tokenization(program_map="full", trim_overlaps=True),
            Tokenization(program_map="full", ties=False, velocity_bins=127),
            Tokenization(program_map="flat"),
            Tokenization(trim_overlaps=True),
            Tokenization(program_map="full", ties=False, onsets_only=True),
        ]
    ),
    st.sampled_from([0, 0, 3, 8]),
)
def test_a_song_that_is_added_has_the_tokens_of_that_song(rows, tokenization, overlap):
    """Also with notes that overlap on one key, and ends on the borders of segments."""
    notes = note_table([(on, on + length, *rest) for on, length, *rest in rows], total_seconds=4.0)
    sizes = {"max_tokens": 512, "segment_frames": FRAMES, "overlap": overlap}
    song = tokenize_song(notes, tokenization, **sizes)
    live, tokens = live_song(tokenization, overlap)
    live.add(notes)
    whole = len(song.tokens) - 1  # the last segment has no end when live
    pulled(live, whole)
    assert tokens == [tuple(row[row != 0].tolist()) for row in song.tokens[:whole]]


def test_instruments_are_replaced_once_and_for_all(caplog):
    """A high trumpet becomes a flute, and so do its low notes, for which it would be a piano."""
    known = Tokenization(program_map="full", programs=(0, 73), drums=(), trim_overlaps=True)
    live, tokens = live_song(known)
    with caplog.at_level(logging.WARNING):
        live.note_on(84, program=56)
        live.note_on(36, is_drum=True)
        live.pull()
        live.note_off(84, program=56)
        live.note_on(50, program=56)
        live.pull()
    assert tokens[0] == (TIE, program(73), ON, pitch(84), END)
    assert tokens[1][3:] == (OFF, pitch(84), ON, pitch(50), END)
    assert [record.message for record in caplog.records] == [
        "live: trumpet replaced by flute, drums left out (recorded knows piano and flute)"
    ]
    alone, tokens = live_song(known)
    alone.note_on(40, program=56)
    alone.pull()
    assert tokens[0][1] == program(0)


def test_only_unknown_drums_are_silence():
    live, tokens = live_song(Tokenization(program_map="full", drums=()))
    live.note_on(36, is_drum=True)
    live.pull()
    assert tokens == [SILENT]


def test_steering_holds_from_the_next_segment_on():
    live, tokens = live_song()
    live.note_on(60)
    live.pull()
    live.steer(Steering(transpose=2, programs={0: 9}))
    live.note_on(64, seconds=0.42)
    live.pull()
    live.note_off(60)
    live.note_off(64)
    live.pull()
    # The key that was held before keeps its sound to its end.
    both = (program(0), pitch(60), program(9), pitch(66))
    assert tokens == [
        (TIE, program(0), ON, pitch(60), END),
        (program(0), pitch(60), TIE, shift(10), program(9), ON, pitch(66), END),
        (*both, TIE, program(0), OFF, pitch(60), program(9), pitch(66), END),
    ]


def test_tempo():
    """Twice as fast from 0.32 s on: 1 s of the score is at 0.66 s, 1.2 s of it at 0.76 s."""
    live, tokens = live_song()
    live.add(note_table([(0.1, 0.2, 60, 90, 0, False), (1.0, 1.2, 62, 90, 0, False)]))
    live.pull()
    live.steer(Steering(tempo=2.0))
    pulled(live, 2)
    assert tokens[1] == SILENT
    assert tokens[2] == (
        TIE, shift(2), program(0), ON, pitch(62), shift(12), OFF, pitch(62), END,
    )  # fmt: skip


def test_seed_and_sampling_from_the_next_segment_on(golden):
    synth = sd.load(golden / "checkpoints" / "diffusers", inverter=LoudnessInverter())

    def rendered(change=None, **settings):
        live = synth.live(steps=2, sampler="dpmpp", **settings)
        live.note_on(60)
        parts = [live.pull()]
        if change:
            live.steer(**change)
        parts += pulled(live, 2)
        return np.concatenate([part.log_mel for part in parts])

    base, again = rendered(seed=1), rendered(seed=1)
    np.testing.assert_array_equal(base, again)
    for change in ({"seed": 2}, {"steps": 3}):
        other = rendered(change, seed=1)
        np.testing.assert_array_equal(other[:13], base[:13])
        assert np.abs(other[16:] - base[16:]).max() > 0.01
    assert np.abs(rendered(seed=2)[:13] - base[:13]).max() > 0.01
    with pytest.raises(ConfigError, match="steps"):
        synth.live().steer(steps=0)
    for change in ({"seed": "x"}, {"seed": 1.5}, {"seed": 2**64}, {"steering": {}}):
        with pytest.raises(ConfigError):
            synth.live().steer(**change)


def test_parts_join_to_one_inversion_of_all_frames():
    engine, record = recorded_engine()
    live = Live(engine)
    parts = [*pulled(live, 4), live.finish()]
    # Frame n is n / 1000 in scaled features, whose -1..1 is log 1e-5..4.
    low = np.log(1e-5)
    frames = low + (np.arange(4 * FRAMES) / 1000 + 1) / 2 * (4 - low)
    log_mel = np.concatenate([part.log_mel for part in parts])
    np.testing.assert_allclose(log_mel, np.tile(frames[:, None], 128), atol=1e-5)
    audio = np.concatenate([part.audio for part in parts])
    np.testing.assert_allclose(audio, np.repeat(frames, 320) / 100, atol=1e-6)
    # Audio waits for the three frames that the inverter looks ahead.
    assert [len(part.audio) for part in parts] == [13 * 320, 16 * 320, 16 * 320, 16 * 320, 3 * 320]
    # The context is the segment before.
    np.testing.assert_allclose(record.contexts[0], [])
    np.testing.assert_allclose(record.contexts[3], np.arange(32, 48) / 1000, atol=1e-6)
    assert len(set(record.keys)) == 4
    assert live.latency_seconds == pytest.approx(0.32 + 3 * 0.02)


def test_memory_does_not_grow():
    """Half an hour with a drone, keys on it that are struck again and again, and steering."""
    engine, record = recorded_engine()
    live = Live(engine)
    live.note_on(60, program=1)

    def play(segments):
        for number in range(segments):
            live.note_on(60, program=2)
            live.note_on(60 + number % 7)
            live.pull()
            live.note_off(60 + number % 7)
            live.steer(Steering(transpose=number % 3))
            for values in (record.tokens, record.contexts, record.keys):
                del values[:-1]

    # Not any folder of that name: a clone is often called so, its environment included.
    package = f"{Path(sd.__file__).parent}{os.sep}"

    def kept():
        """Bytes allocated by the package: caches of JAX fill up slowly, and are not its own."""
        gc.collect()
        traces = tracemalloc.take_snapshot().traces
        return sum(t.size for t in traces if t.traceback[0].filename.startswith(package))

    tracemalloc.start()
    try:
        play(300)
        before = kept()
        play(700)
        after = kept()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000


def test_notes_of_other_threads():
    """No note is lost, and none comes twice, while segments are pulled."""
    live, tokens = live_song()
    done = threading.Event()

    def play():
        for number in range(300):
            live.note_on(30 + number % 60)
            live.note_off(30 + number % 60)
        done.set()

    player = threading.Thread(target=play)
    player.start()
    while not done.is_set():
        live.pull()
    player.join()
    pulled(live, 3)
    onsets = 0
    for segment in tokens:
        velocity = None
        for token in segment[segment.index(TIE) :]:
            velocity = token if token in (ON, OFF) else velocity
            onsets += velocity == ON and pitch(0) <= token <= pitch(127)
    assert onsets == 300
    assert tokens[-1] == SILENT


@pytest.mark.parametrize(
    ("note", "error"),
    [
        ({"pitch": 128}, MidiError),
        ({"pitch": 60.5}, MidiError),
        ({"pitch": "x"}, MidiError),
        ({"pitch": 60, "velocity": 0}, MidiError),
        ({"pitch": 60, "program": -1}, MidiError),
        ({"pitch": 60, "seconds": float("nan")}, ConfigError),
        ({"pitch": 60, "seconds": float("inf")}, ConfigError),
    ],
)
def test_impossible_notes_change_nothing(note, error):
    live, tokens = live_song()
    with pytest.raises(error):
        live.note_on(**note)
    live.pull()
    assert tokens == [SILENT]
