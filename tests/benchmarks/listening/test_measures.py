"""All measures together, on audio with known differences."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.music.notes import Notes
from tests.support.sounds import HELD_BACK, RATE, sharper


def additive(notes, cents=0.0, gain=1.0):
    """Renders notes as sums of two partials, and drums as noise."""
    audio = np.zeros(round(notes.total_seconds * RATE))
    noise = np.random.default_rng(1).normal(0, 1, RATE)
    columns = (notes.onset_seconds, notes.offset_seconds, notes.pitch, notes.velocity)
    for onset, offset, pitch, velocity, drum in zip(*columns, notes.is_drum, strict=True):
        start, stop = round(onset * RATE), min(round(offset * RATE), len(audio))
        times = np.arange(stop - start) / RATE
        if drum:
            samples = noise[: stop - start] * np.exp(-times / 0.02)
        else:
            hertz = sharper(440 * 2 ** ((pitch - 69) / 12), cents)
            samples = sum(np.sin(2 * np.pi * n * hertz * times) for n in (1, 2) if n * hertz < 7900)
        audio[start:stop] += gain * 0.02 * velocity / 80 * samples
    return audio.astype(np.float32)


class PerfectDetector:
    """A detector that finds all notes in audio that is not silent."""

    def agreement(self, written, audio):
        from spectrodiff.evaluation.metrics.transcription.scores import score_onsets

        return score_onsets(written, written if np.abs(audio).max() > 1e-3 else silence())

    def agreement_windows(self, written, audio):
        from listening.onsets import onset_windows

        return onset_windows(written, written if np.abs(audio).max() > 1e-3 else silence())

    def dense_recall(self, written, audio):
        return self.agreement(written, audio).recall

    def dense_windows(self, written, audio):
        return self.agreement_windows(written, audio)


def silence():
    return Notes(*(np.zeros(0) for _ in range(6)))


def test_all_measures_of_known_differences():
    from listening.measures import Bench, measure
    from listening.songs import Form, bench_songs
    from listening.sources import Rendered

    from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel

    form = Form("tiny", 1, 3.0, 3.0, (0,), 12, 3)
    songs = bench_songs(form, HELD_BACK)

    def render(play):
        renderings = {}
        for song in songs:
            audio = play(song)
            renderings[song.name] = Rendered(audio, blockwise_log_mel(audio))
        return renderings

    reference = render(lambda song: additive(song.notes))
    bench = Bench(form, songs, reference, PerfectDetector(), 64)
    own = {(v.group, v.name): v.value for v in measure(bench, reference)}
    softer = render(
        # At half the amplitude; single notes 7 cents sharp, all phrases at velocity 80.
        lambda song: additive(
            dataclasses.replace(song.notes, velocity=np.full(len(song.notes), 80))
            if song.group == "velocity"
            else song.notes,
            cents=7.0 if song.group == "notes" else 0.0,
            gain=0.5,
        )
    )
    found = {(v.group, v.name): v.value for v in measure(bench, softer)}
    for renderings in (reference, softer):
        assert_values_are_statistics(measure(bench, renderings))
    assert list(found) == list(own)

    for group in ("held back", "bands"):
        assert own[group, "onset F1 / FluidR3's"] == found[group, "onset F1 / FluidR3's"] == 1
        assert own[group, "log-mel L1 of the audio"] == 0
        assert found[group, "log-mel L1 of the audio"] == pytest.approx(0, abs=0.01)
    assert own["velocity", "30 against 80"] == pytest.approx(20 * np.log10(3 / 8), abs=1e-2)
    assert own["velocity", "120 against 80"] == pytest.approx(20 * np.log10(3 / 2), abs=1e-2)
    assert found["velocity", "30 against 80"] == pytest.approx(0, abs=1e-6)
    piano = "notes of acoustic piano"
    assert found[piano, "level, median difference"] == pytest.approx(-6.02, abs=0.05)
    assert found[piano, "the same, 95th percentile"] < 0.1
    assert own[piano, "off written pitch, median"] == pytest.approx(0, abs=0.05)
    assert found[piano, "off written pitch, median"] == pytest.approx(7, abs=0.05)
    assert found[piano, "off FluidR3's pitch, 95th percentile"] == pytest.approx(7, abs=0.1)
    assert found[piano, "without a pitch near the note's, of 8"] == 0
    assert found[piano, "silent, of 8"] == 0
    assert own["joins", "string ensemble chord, level jump, largest"] < 0.5
    assert own["drums", "onset F1 of hits, alone"] == 1
    assert found["peak", "largest sample before clipping"] == pytest.approx(
        max(np.abs(rendered.audio).max() for rendered in softer.values())
    )


def assert_values_are_statistics(values):
    from listening.statistics import compute

    single = []
    for value in values:
        if value.statistic is None:
            single.append(value.name)
        else:
            computed = compute(value.statistic, np.array(value.items, np.float64))
            assert computed == pytest.approx(value.value, abs=1e-9, nan_ok=True), value.name
    assert single == [
        "string ensemble chord, level jump, largest",
        "largest sample before clipping",
    ]


def test_the_pitch_of_a_note_is_measured_in_its_middle():
    from listening.measures import note_pitches
    from listening.pitch import harmonic_tone
    from listening.songs import BenchSong, make_notes

    # The tone is outside the search range, except for the measured half seconds of two notes.
    audio = harmonic_tone(sharper(440, 300), 3.0)
    for onset, cents in ((0.5, -9), (2.0, 4)):
        start = round((onset + 0.25) * RATE)
        audio[start : start + RATE // 2] = harmonic_tone(sharper(440, cents), 0.5)
    song = BenchSong("two", "notes", make_notes([0.5, 2.0], 1.0, [69, 69]))
    np.testing.assert_allclose(note_pitches(audio, song), [-9, 4], atol=0.05)


def test_steady_tones_of_an_inverter_that_is_flat(monkeypatch):
    from listening import measures

    made = []

    def make(hertz, seconds, seed):
        made.append(hertz)
        return harmonic_tone(hertz, seconds, seed)

    harmonic_tone = measures.harmonic_tone
    monkeypatch.setattr(measures, "harmonic_tone", make)
    # Flat by 8 cents, at the first tone by 100.
    monkeypatch.setattr(
        measures,
        "invert",
        lambda inverter, log_mel: harmonic_tone(
            sharper(made[-1], -100 if len(made) == 1 else -8), 1.0
        ),
    )
    median, high, missing = measures.steady_tones(None, 5)
    assert made[0] == pytest.approx(40)
    assert made[-1] == pytest.approx(2000)
    assert median.value == pytest.approx(8, abs=0.02)
    assert high.value == pytest.approx(8, abs=0.02)
    assert missing.value == 1
