"""Notes without onsets: by hand, by a slow search, and by the package itself if installed."""

import importlib.util

import numpy as np
import pytest

from spectrodiff.evaluation.metrics.transcription.note_search import notes_without_onsets


def find(frames, found=(), tolerance=3):
    return notes_without_onsets(
        frames.astype(np.float32), found, threshold=0.3, min_frames=4, tolerance_frames=tolerance
    )


def test_a_note_lasts_while_its_pitch_is_active():
    frames = np.zeros((40, 88))
    frames[10:20, 39] = [0.4, 0.5, 0.9, 0.5, 0.1, 0.1, 0.5, 0.5, 0.4, 0.4]
    ((first, last, pitch, loudness),) = find(frames)
    # The last active frame is left out, as by the package.
    assert (first, last, pitch) == (10, 19, 60)
    assert loudness == pytest.approx((0.4 + 0.5 + 0.9 + 0.5 + 2 * 0.1 + 2 * 0.5 + 0.4) / 9)
    # Three low frames end it, and what is on either side is too short.
    frames[16, 39] = 0.1
    assert not find(frames)
    assert [note[:3] for note in find(frames, tolerance=4)] == [(10, 19, 60)]


def test_neighbors_and_found_notes_are_explained():
    frames = np.zeros((40, 88))
    frames[5:15, 20], frames[5:15, 21], frames[5:15, 22] = 0.5, 0.8, 0.6
    frames[5:15, 50] = 0.7
    assert [note[:3] for note in find(frames)] == [(5, 14, 42), (5, 14, 71)]
    assert [note[:3] for note in find(frames, [(5, 15, 71, 0.7)])] == [(5, 14, 42)]
    assert [note[:3] for note in find(frames, [(5, 15, 43, 0.7)])] == [(5, 14, 71), (5, 14, 41)]
    # Pitches beside a note are explained, those two apart are not.
    assert [note[:3] for note in find(frames, [(5, 15, 44, 0.6)])] == [(5, 14, 42), (5, 14, 71)]


def search_slowly(frames, threshold, min_frames, tolerance):
    """Looks for the largest activation again and again."""
    left, notes = frames.astype(np.float64), []
    while left.max() > threshold:
        middle, key = np.unravel_index(left.argmax(), left.shape)
        left[middle, key] = 0
        ends = []
        for step in (1, -1):
            place, low = middle + step, 0
            while 0 < place < len(left) - 1 and low < tolerance:
                low = low + 1 if left[place, key] < threshold else 0
                left[place, max(key - 1, 0) : key + 2] = 0
                place += step
            ends.append(place - step * (low + 1))
        if ends[0] - ends[1] > min_frames:
            notes.append((ends[1], ends[0], 21 + key, frames[ends[1] : ends[0], key].mean()))
    return notes


def activations(seed, num_frames, levels):
    """Smooth random activations; a finite number of levels has many that are equal."""
    noise = np.random.default_rng(seed).random((num_frames + 14, 88))
    smooth = np.mean([noise[start : start + num_frames] for start in range(15)], axis=0)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (np.round(smooth**2 * levels) / levels).astype(np.float32)


@pytest.mark.parametrize("levels", [8, 1e9])
@pytest.mark.parametrize("num_frames", [2, 20, 200])
def test_the_order_is_that_of_a_repeated_search(num_frames, levels):
    frames = activations(num_frames, num_frames, levels)
    notes = find(frames)
    assert notes == search_slowly(frames, 0.3, 4, 3)
    assert num_frames < 200 or len(notes) > 50


@pytest.mark.skipif(not importlib.util.find_spec("basic_pitch"), reason="needs basic-pitch")
def test_the_package_finds_the_same_notes():
    from basic_pitch.note_creation import output_to_notes_polyphonic

    frames, onsets = activations(1, 500, 1e9), activations(2, 500, 1e9)
    options = {"onset_thresh": 0.5, "frame_thresh": 0.3, "min_note_len": 11}
    options |= {"infer_onsets": True, "min_freq": None, "max_freq": None}
    expected = output_to_notes_polyphonic(frames, onsets, **options)
    found = output_to_notes_polyphonic(frames, onsets, **options, melodia_trick=False)
    notes = notes_without_onsets(frames, found, threshold=0.3, min_frames=11, tolerance_frames=11)
    assert [*found, *notes] == expected
    assert len(found) > 10
    assert len(notes) > 10
