"""Speeds measured with a clock that only moves when features are sampled or inverted."""

import dataclasses
import time

import numpy as np
import pytest

from spectrodiff.evaluation.protocol import EvaluationSong
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.speed import SpeedMeter
from spectrodiff.inverter import Inverter
from tests.support.notation import note_table

MODEL = Row("model", sampler="dpmpp", steps=10, guidance=2.0, variance="large", seed=0)
SLOW = dataclasses.replace(MODEL, name="slow", sampler="ddpm", steps=1000)
ENCODED, RAW = Row("encoded", "encoded"), Row("raw", "raw")
DESCRIPTIONS = {
    "model": {"steps": 10, "inverter": "a"},
    "other": {"steps": 10, "inverter": "b"},
    "slow": {"steps": 1000, "inverter": "a"},
    "encoded": {"source": "encoded", "inverter": "a"},
}


class Clock:
    def __init__(self, monkeypatch):
        self.seconds = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.seconds)


class Synthesizer:
    """Segments of 50 frames, a second; 100 s for the first of all, which compiles."""

    def __init__(self, clock, segments=6):
        self.clock, self.count, self.runs = clock, segments, []

    def segments(self, notes, *, sampler, steps, guidance, variance, seed, **others):
        self.runs.append((sampler, steps, guidance, variance, seed))
        for number in range(self.count):
            self.clock.seconds += 100 if len(self.runs) == 1 else 7 if number == 0 else steps / 20
            yield np.full((50, 128), float(number), np.float32)


class BoxInverter(Inverter):
    name, reach_frames = "box", 0

    def __init__(self, clock):
        self.clock, self.calls = clock, []

    def __call__(self, log_mel):
        self.calls.append(log_mel[0, 0])
        # The first call of all takes a minute, later ones a tenth of a second per second.
        self.clock.seconds += 60 if len(self.calls) == 1 else len(log_mel) / 500
        return np.zeros(len(log_mel) * 320, np.float32)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def make_meter(tmp_path, synthesizer, inverter, segments=4, device="some card"):
    song = EvaluationSong("one", np.zeros(3 * 16_000, np.float32), *[note_table([])] * 2)
    return SpeedMeter(
        tmp_path / "speed.json", lambda: synthesizer, lambda name: inverter, song, segments, device
    )


def test_compilation_and_the_first_segment_do_not_count(tmp_path, clock):
    synthesizer, inverter = Synthesizer(clock), BoxInverter(clock)
    speeds = make_meter(tmp_path, synthesizer, inverter).measure([MODEL, RAW], DESCRIPTIONS)
    assert speeds.keys() == {"model"}
    # Four seconds of audio, half a second each; inverted in a tenth of their length.
    assert speeds["model"].features == pytest.approx(2.0)
    assert speeds["model"].inversion == pytest.approx(10.0)
    assert speeds["model"].both == pytest.approx(4.0 / 2.4)
    note = speeds["model"].note
    assert "4.0 s of audio" in note
    assert "some card" in note
    assert synthesizer.runs == [("dpmpp", 10, 2.0, "large", 0)] * 2
    assert inverter.calls == [1.0, 1.0]  # from the second segment on


def test_rows_that_share_features_are_sampled_once(tmp_path, clock):
    synthesizer, inverter = Synthesizer(clock), BoxInverter(clock)
    other = dataclasses.replace(MODEL, name="other", inverter="b")
    meter = make_meter(tmp_path, synthesizer, inverter)
    speeds = meter.measure([MODEL, other, SLOW, ENCODED], DESCRIPTIONS)
    assert len(synthesizer.runs) == 4
    assert speeds["other"].features == pytest.approx(2.0)
    assert speeds["slow"].features == pytest.approx(1 / 50)
    assert speeds["encoded"].features is None
    assert speeds["encoded"].both == speeds["encoded"].inversion == pytest.approx(10.0)


def test_what_was_measured_is_kept(tmp_path, clock):
    first, second = Synthesizer(clock), Synthesizer(clock)
    inverter = BoxInverter(clock)
    before = make_meter(tmp_path, first, inverter).measure([MODEL], DESCRIPTIONS)
    again = make_meter(tmp_path, second, inverter).measure([MODEL], DESCRIPTIONS)
    assert again == before
    assert not second.runs
    make_meter(tmp_path, second, inverter, device="another card").measure([MODEL], DESCRIPTIONS)
    assert len(second.runs) == 2


def test_songs_of_one_segment_cannot_be_timed(tmp_path, clock, caplog):
    meter = make_meter(tmp_path, Synthesizer(clock, segments=1), BoxInverter(clock))
    assert meter.measure([MODEL], DESCRIPTIONS) == {}
    assert "no song has two segments" in caplog.text
