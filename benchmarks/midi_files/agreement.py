"""Agreement of two readings of a MIDI file."""

import numpy as np

TOLERANCE_SECONDS = 1e-3
# Readers may give notes that end where they begin a short length. Shorter ones count as equal.
SHORTEST_SECONDS = 0.0105

ASPECTS = ("notes", "offsets", "programs", "drums")


def agree(ours: np.ndarray, reference: np.ndarray) -> dict[str, bool]:
    """Says for each of `ASPECTS` whether two note tables agree.

    `notes` is True if both have the same number of notes of each pitch, at the same onsets. If they
    do not, nothing else is True, either. Programs and offsets of drums do not count.

    Args:
        ours: [notes, 5], columns as in `playing.COLUMNS`, in any order.
        reference: of the same form.
    """
    if len(ours) != len(reference):
        return dict.fromkeys(ASPECTS, False)
    ours, reference = _aligned(_shortened(ours), _shortened(reference))
    same_notes = (ours[:, 2] == reference[:, 2]) & _near(ours[:, 0], reference[:, 0])
    if not same_notes.all():
        return dict.fromkeys(ASPECTS, False)
    pitched = reference[:, 4] == 0
    return {
        "notes": True,
        "offsets": bool(_near(ours[:, 1], reference[:, 1])[pitched].all()),
        "programs": bool((ours[:, 3] == reference[:, 3])[pitched].all()),
        "drums": bool((ours[:, 4] == reference[:, 4]).all()),
    }


def _shortened(notes: np.ndarray) -> np.ndarray:
    """Returns notes of which short ones end where they begin."""
    onset, offset = notes[:, 0], notes[:, 1]
    offset = np.where(offset - onset <= SHORTEST_SECONDS, onset, offset)
    return np.column_stack([onset, offset, notes[:, 2:]])


def _near(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs(first - second) <= TOLERANCE_SECONDS


def _aligned(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both tables in such an order that the same notes have the same rows.

    Times that differ by less than the tolerance must not change the order, so onsets and offsets
    are replaced by the number of the group of near ones to which they belong.
    """
    both = np.concatenate([first, second])
    onset, offset = _groups(both[:, 0]), _groups(both[:, 1])
    keys = np.stack([offset, both[:, 3], both[:, 4], onset, both[:, 2]])
    split = len(first)
    return first[np.lexsort(keys[:, :split])], second[np.lexsort(keys[:, split:])]


def _groups(times: np.ndarray) -> np.ndarray:
    order = np.argsort(times, kind="stable")
    numbers = np.empty(len(times), np.int64)
    numbers[order] = np.cumsum(np.diff(times[order], prepend=times[order[:1]]) > TOLERANCE_SECONDS)
    return numbers
