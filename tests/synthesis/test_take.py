"""Takes: renderings that are steered while they play."""

import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.music.steering import Steering
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.synthesis.take import Take
from tests.support.inverters import LoudnessInverter
from tests.support.notation import END, OFF, ON, TIE, note_table, pitch, program, shift
from tests.support.recorded import recorded_engine

FEW = {"steps": 2, "sampler": "dpmpp"}
# 1 s at 16 frames a segment: 51 frames, 4 segments.
SONG = note_table([(0.0, 0.5, 60, 90, 0, False), (0.7, 1.0, 64, 90, 8, False)])


def joined(parts):
    return np.concatenate([part.audio for part in parts])


@pytest.fixture(scope="module")
def synth(golden):
    return sd.load(golden / "checkpoints" / "diffusers", inverter=LoudnessInverter())


def test_a_take_that_is_never_steered_is_the_stream(synth, golden):
    path = golden / "midi" / "band_drums.mid"
    parts = list(synth.stream(path, seed=5, **FEW))
    take = synth.take(path, seed=5, **FEW)
    ours = list(take)
    assert take.segments == take.rendered == len(parts) == len(ours)
    for part, wanted in zip(ours, parts, strict=True):
        np.testing.assert_array_equal(part.audio, wanted.audio)
        np.testing.assert_array_equal(part.log_mel, wanted.log_mel)
    assert take.samples == len(joined(parts))


def test_a_take_goes_on_from_any_segment(synth):
    """With the same settings it is the same again."""
    take = synth.take(SONG, seed=1, **FEW)
    whole = list(take)
    for segment in (3, 1, 0):
        kept = take.steer(segment)
        assert kept == len(joined(whole[:segment])) if segment else kept == 0
        np.testing.assert_array_equal(joined(whole[:segment] + list(take)), joined(whole))


def test_settings_that_are_left_out_stay(synth):
    take = synth.take(SONG, seed=1, steering=Steering(transpose=2), **FEW)
    first = list(take)
    take.steer(1, seed=2)
    other = list(take)
    assert not np.array_equal(joined(first[1:]), joined(other))
    np.testing.assert_array_equal(take.score.notes.pitch, [62, 66])
    take.steer(1, seed=1)
    np.testing.assert_array_equal(joined(list(take)), joined(first[1:]))
    take.steer(1, steps=3)
    assert not np.array_equal(joined(list(take)), joined(first[1:]))


def test_steering_from_a_segment_on():
    """At half speed from 0.32 s on, the second note is at 1.08 s, and the song 1.68 s long."""
    engine, record = recorded_engine()
    take = Take(engine, SONG)
    before = list(take)
    first_keys = list(record.keys)
    kept = take.steer(1, Steering(tempo=0.5, transpose=-1))
    assert kept == 13 * 320  # without the three frames that the inverter looks ahead
    assert (take.segments, take.rendered, take.samples) == (6, 1, kept)
    after = list(take)
    assert len(joined(before[:1] + after)) == 1.68 * 16_000
    # The frames before are the context, and the first note keeps its pitch.
    np.testing.assert_allclose(record.contexts[4], np.arange(16) / 1000, atol=1e-6)
    held = (program(0), pitch(60), TIE)
    assert record.tokens[4] == (*held, END)
    assert record.tokens[5] == (*held, shift(4), OFF, pitch(60), END)
    # 1.08 s is step 12 of the fourth segment, which begins at 0.96 s.
    assert record.tokens[6] == (TIE, shift(12), program(8), ON, pitch(63), END)
    assert set(record.keys[4:]).isdisjoint(first_keys)
    assert take.course.score_seconds(1.08) == pytest.approx(0.7)


def test_all_parts_muted_are_silence():
    engine, record = recorded_engine()
    take = Take(engine, SONG, steering=Steering(muted=frozenset({0, 8})))
    assert len(joined(list(take))) == 16_000
    assert record.tokens == [(TIE, END)] * 4
    assert len(take.score.rows) == 0


def test_drums_that_the_model_does_not_know():
    engine, record = recorded_engine(Tokenization(program_map="full", drums=()))
    take = Take(engine, note_table([(0.0, 0.1, 36, 90, 0, True)]))
    list(take)
    assert record.tokens == [(TIE, END)]
    assert [drum.key for drum in take.score.adaptation.left_out] == [36]


def test_errors_leave_a_take_as_it_was(synth):
    take = synth.take(SONG, **FEW)
    first = next(take)
    with pytest.raises(ConfigError, match=r"segment: expected a segment in 0..1, .*, got 2"):
        take.steer(2)
    with pytest.raises(ConfigError, match="segment"):
        take.steer(-1)
    for change in ({"seed": "x"}, {"seed": 2**64}, {"steps": 0}, {"steering": {}}):
        with pytest.raises(ConfigError):
            take.steer(1, **change)
    with pytest.raises(ConfigError, match="tempo"):
        take.steer(1, Steering(tempo=9.0))
    rest = list(take)
    np.testing.assert_array_equal(joined([first, *rest]), joined(list(synth.stream(SONG, **FEW))))
    with pytest.raises(MidiError):
        synth.take("nothing.mid")
