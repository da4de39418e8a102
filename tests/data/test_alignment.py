"""Fit of the onsets of notes to those of a recording."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.data.alignment import MIN_ONSETS, describe_misfit, fit_onsets
from spectrodiff.data.recordings import RecordingGroup, Remark, StemReader, read_group
from tests.support.corpora import table

RATE = 16_000


def take(seed, count=40):
    """Notes at random times, for twelve seconds."""
    onsets = np.sort(np.random.default_rng(seed).uniform(0.5, 11.5, count))
    return table(*[(onset, onset + 0.2, 60 + row % 12) for row, onset in enumerate(onsets)])


def play(notes, late_seconds=0.0):
    """Decaying tones, each from its onset on; int16."""
    audio = np.zeros(RATE * 13)
    for onset, pitch in zip(notes.onset_seconds, notes.pitch, strict=True):
        seconds = np.arange(RATE // 2) / RATE
        tone = np.exp(-8 * seconds) * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * seconds)
        begin = round((onset + late_seconds) * RATE)
        audio[begin : begin + len(tone)] += tone[: len(audio) - begin]
    return (4000 * audio).astype(np.int16)


@pytest.mark.parametrize("late_seconds", [0.0, 0.15, -0.24, 0.4])
def test_the_lag_of_a_recording(late_seconds):
    fit = fit_onsets(play(take(0), late_seconds), take(0))
    assert fit.lag_seconds == pytest.approx(late_seconds, abs=0.02)
    assert 0.4 < fit.correlation <= 1


def test_the_ends_of_tones_are_no_onsets():
    """Tones of 0.2 s that fade in and out within 20 ms."""
    notes = take(0)
    seconds = np.arange(RATE // 5) / RATE
    fades = np.clip(np.minimum(seconds, 0.2 - seconds) / 0.02, 0, 1)
    audio = np.zeros(RATE * 13)
    for onset, pitch in zip(notes.onset_seconds, notes.pitch, strict=True):
        begin = round(onset * RATE)
        tone = fades * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * seconds)
        audio[begin : begin + len(tone)] += tone
    fit = fit_onsets(audio, notes)
    assert fit.lag_seconds == pytest.approx(0, abs=0.02)
    assert fit.correlation > 0.7


def test_loudness_and_type_of_the_audio_do_not_matter():
    audio = play(take(0), 0.1)
    ours, theirs = fit_onsets(audio, take(0)), fit_onsets(audio / 1e6, take(0))
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_another_recording_does_not_fit():
    fit = fit_onsets(play(take(0)), take(1))
    assert fit.correlation < 0.3 * fit_onsets(play(take(0)), take(0)).correlation


def test_what_is_not_told():
    assert fit_onsets(play(take(0, MIN_ONSETS - 1)), take(0, MIN_ONSETS - 1)) is None
    assert fit_onsets(np.zeros(RATE * 13, np.int16), take(0)) is None
    assert fit_onsets(np.zeros(0, np.int16), take(0)) is None
    # Notes that begin together are one onset.
    chord = table(*[(1.0, 2.0, pitch) for pitch in range(40, 80)])
    assert fit_onsets(play(chord), chord) is None


@pytest.mark.parametrize(
    ("late_seconds", "remarks"),
    [
        (0.02, []),
        (0.25, [("with audio later than the notes", "about 250 ms; shift the MIDI file")]),
        (-0.25, [("with audio earlier than the notes", "about 250 ms; shift the MIDI file")]),
    ],
)
def test_a_recording_is_remarked_on(late_seconds, remarks):
    stem = StemReader(lambda: play(take(0), late_seconds), lambda: take(0))
    group = RecordingGroup.single("a", stem)
    assert not read_group(group).remarks
    found = read_group(dataclasses.replace(group, checks_onsets=True))
    assert len(found.recordings) == 1
    assert [remark.text for remark in found.remarks] == [text for text, _ in remarks]
    for remark, (text, detail) in zip(found.remarks, remarks, strict=True):
        # The lag is that of an onset, which a spectrum finds up to 20 ms late.
        milliseconds = int(remark.detail.split()[1])
        assert abs(milliseconds - 250) <= 20
        assert remark == Remark("a", text, 1, detail.replace("250", str(milliseconds)))


def test_a_tempo_that_does_not_fit():
    notes = take(0)
    slower = dataclasses.replace(
        notes, onset_seconds=1.1 * notes.onset_seconds, offset_seconds=1.1 * notes.offset_seconds
    )
    right, wrong = fit_onsets(play(notes), notes), fit_onsets(play(notes), slower)
    assert wrong.correlation < right.correlation / 2
    assert right.is_certain
    assert not wrong.is_certain


def test_audio_without_the_notes():
    """Noise that never changes has onsets nowhere, but for its beginning."""
    noise = np.random.default_rng(0).normal(0, 1000, RATE * 60).astype(np.int16)
    onsets = np.sort(np.random.default_rng(1).uniform(1, 59, 1000))
    notes = table(*[(onset, onset + 0.05, 60) for onset in onsets])
    assert fit_onsets(noise, notes).correlation < 0.1
    assert describe_misfit(noise, notes).text == "with audio that does not fit the notes"
    assert describe_misfit(play(take(0)), take(0)) is None
