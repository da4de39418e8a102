"""Tests of the detection of notes and drum hits."""

import numpy as np
import pytest

from spectrodiff.music.notes import merge_notes
from tests.support.sounds import RATE


def test_peaks_of_activations_are_notes():
    from listening.onsets import peaks_as_notes

    activations = np.zeros((10, 88))
    activations[3, 0] = 0.9
    activations[4, 0] = 0.7  # still falling
    activations[7, 0] = 0.5
    activations[5, 87] = 0.49
    activations[9, 39] = 0.6  # at the end
    notes = peaks_as_notes(activations, np.arange(10) / 100)
    found = sorted(zip(notes.pitch.tolist(), notes.onset_seconds.tolist(), strict=True))
    assert found == [(21, 0.03), (21, 0.07), (60, 0.09)]


def test_repetitions_are_recalled(monkeypatch):
    pytest.importorskip("basic_pitch", reason="the times of its frames are needed")
    from listening import onsets
    from listening.songs import repeats

    written = repeats()
    frame = 256 / 22_050  # of basic-pitch, without its corrections of less than 20 ms

    class FakeBasicPitch:
        def activations(self, audio):
            activations = np.zeros((len(audio) // 256 + 1, 88), np.float32)
            for onset, pitch in zip(written.onset_seconds[::2], written.pitch[::2], strict=True):
                activations[round(onset / frame), pitch - 21] = 1
            return None, activations

    monkeypatch.setattr(onsets, "BasicPitch", FakeBasicPitch)
    audio = np.zeros(round(written.total_seconds * RATE), np.float32)
    assert onsets.NoteDetector().dense_recall(written, audio) == 0.5


def bursts(seconds, total):
    audio = np.zeros(round(total * RATE))
    noise = np.random.default_rng(0).normal(0, 0.3, RATE // 5)
    noise *= np.exp(-np.arange(len(noise)) / (0.03 * RATE))
    for second in seconds:
        start = round(second * RATE)
        audio[start : start + len(noise)] += noise[: len(audio) - start]
    return audio


def test_hits_are_detected_at_their_times():
    from listening.onsets import detect_hits, hits_f1

    written = np.array([0.3, 0.55, 0.9, 1.13, 1.7])
    detected = detect_hits(bursts(written, 2.2))
    np.testing.assert_allclose(detected, written, atol=0.02)
    assert hits_f1(written, detected) == 1
    assert len(detect_hits(np.zeros(RATE))) == 0


def test_peaks_of_flux():
    from listening.onsets import flux_peaks

    flux = np.zeros(60)
    flux[[10, 13, 30, 45, 49]] = (0.5, 0.9, 0.1, 0.4, 0.3)
    # The second peak is within 30 ms of the first; the others are above the mean.
    assert flux_peaks(flux).tolist() == [10, 30, 45, 49]
    assert flux_peaks(np.full(40, 0.5)).tolist() == []


def test_f1_of_hits():
    from listening.onsets import drum_hits, hits_f1
    from listening.songs import make_notes

    written = np.array([1.0, 2.0])
    assert hits_f1(written, np.array([1.06, 1.94])) == 0
    assert hits_f1(written, np.array([1.04, 1.96])) == 1
    assert hits_f1(written, np.array([1.04])) == pytest.approx(2 / 3)
    # A hit that is detected twice counts once.
    assert hits_f1(np.array([1.0]), np.array([0.99, 1.01])) == pytest.approx(2 / 3)
    assert hits_f1(written, np.zeros(0)) == 0
    drums = make_notes([0.5, 0.5, 1.0], 0.1, [36, 42, 42], is_drum=True)
    assert drum_hits(merge_notes([drums, make_notes([0.7], 0.1, [60])])).tolist() == [0.5, 1.0]
