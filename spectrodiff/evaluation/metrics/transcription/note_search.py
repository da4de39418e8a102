"""Search for notes whose beginning is not recognized, as basic-pitch does it, in less time.

The package looks for the largest activation of the whole recording again for each note, which takes
time in proportion to the square of the length. As activations are only ever erased, sorting them
once gives the same order.
"""

from collections.abc import Sequence

import numpy as np

FoundNote = tuple[int, int, int, float]
"""First frame, frame after the last one, pitch, and loudness in 0..1."""

LOWEST_PITCH = 21


def notes_without_onsets(
    frames: np.ndarray,
    found: Sequence[FoundNote],
    *,
    threshold: float,
    min_frames: int,
    tolerance_frames: int,
) -> list[FoundNote]:
    """Finds the notes around the largest activations that no other note explains.

    A note reaches in both directions until the activation of its pitch is low for a while. Its own
    activations and those of the neighboring pitches are erased.

    Args:
        frames: activations of the pitches from `LOWEST_PITCH`, float [frames, pitches].
        found: notes that explain activations already.
        threshold: lowest activation of a note.
        min_frames: notes have to be longer than this.
        tolerance_frames: number of frames after which a note that is low has ended.
    """
    # The package compares in double precision, too.
    left = frames.astype(np.float64)
    for first, last, pitch, _ in found:
        _erase(left, slice(first, last), pitch - LOWEST_PITCH)
    places = np.flatnonzero(left > threshold)
    by_size = places[np.argsort(-left.ravel()[places], kind="stable")]
    notes = []
    for middle, key in zip(*np.unravel_index(by_size, left.shape), strict=True):
        if not left[middle, key]:
            continue
        left[middle, key] = 0
        # The first and the last frame of the recording belong to no note, and the last active
        # frame is not counted.
        after, low_after = _reach(left[middle + 1 : -1, key], threshold, tolerance_frames)
        _erase(left, slice(middle + 1, middle + 1 + after), key)
        before, low_before = _reach(left[1:middle, key][::-1], threshold, tolerance_frames)
        _erase(left, slice(middle - before, middle), key)
        first, last = int(middle - before + low_before), int(middle + after - low_after)
        if last - first > min_frames:
            loudness = float(frames[first:last, key].mean())
            notes.append((first, last, LOWEST_PITCH + int(key), loudness))
    return notes


def _reach(activations: np.ndarray, threshold: float, tolerance_frames: int) -> tuple[int, int]:
    """Returns how many frames a note reaches on, and how many of the last of them are low."""
    low = 0
    for count, activation in enumerate(activations):
        if low == tolerance_frames:
            return count, low
        low = low + 1 if activation < threshold else 0
    return len(activations), low


def _erase(activations: np.ndarray, frames: slice, key: int) -> None:
    activations[frames, max(key - 1, 0) : key + 2] = 0
