"""Distances of embeddings through SciPy, scores of transcriptions through mir_eval."""

import mir_eval
import numpy as np
import scipy.linalg

Array = np.ndarray


def frechet_distance(a: Array, b: Array, *, diagonal: bool = False) -> float:
    """Distance of two normal distributions, from frames [n, dims]; covariances divided by n."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    if diagonal:
        return float(apart + ((a.std(axis=0) - b.std(axis=0)) ** 2).sum())
    first, second = (np.cov(frames, rowvar=False, bias=True) for frames in (a, b))
    root = scipy.linalg.sqrtm(first @ second)
    return float(apart + np.trace(first) + np.trace(second) - 2 * np.trace(root).real)


def mean_distance(a: Array, b: Array) -> float:
    """Mean Euclidean distance of frames at the same place."""
    return float(np.linalg.norm(a - b, axis=1).mean())


def _grouped(notes: list, granularity: str) -> dict[tuple[int, bool], Array]:
    """Rows (start, end, pitch) by track: drums are one, the others go by their program."""
    tracks: dict[tuple[int, bool], list] = {}
    for pitch, _, program, is_drum, start, end in notes:
        reduced = {"flat": 0, "midi_class": program // 8 * 8, "full": program}[granularity]
        track = (0 if is_drum else reduced, is_drum)
        tracks.setdefault(track, []).append((start, end, pitch))
    return {key: np.array(rows) for key, rows in tracks.items()}


def _matched(reference: Array, estimate: Array, is_drum: bool) -> int:
    columns = [
        column
        for rows in (reference, estimate)
        for column in (rows[:, :2], mir_eval.util.midi_to_hz(rows[:, 2]))
    ]
    ratio = None if is_drum else 0.2
    return len(mir_eval.transcription.match_notes(*columns, offset_ratio=ratio))


def _ratios(pairs: int, references: int, estimates: int) -> tuple[float, float, float]:
    if not pairs:
        return 0.0, 0.0, 0.0
    precision, recall = pairs / estimates, pairs / references
    return precision, recall, 2 * precision * recall / (precision + recall)


def transcription_scores(reference: list, estimate: list) -> dict[str, dict[str, float]]:
    """Scores by program granularity, under the titles of the MT3 paper.

    Args:
        reference: notes [pitch, velocity, program, is_drum, start, end].
        estimate: the same.
    """
    scores = {}
    for granularity in ("flat", "midi_class", "full"):
        ours, theirs = _grouped(reference, granularity), _grouped(estimate, granularity)
        rows = []  # is_drum, pairs, notes of the reference, notes of the estimate
        for key in ours.keys() | theirs.keys():
            both = key in ours and key in theirs
            pairs = _matched(ours[key], theirs[key], key[1]) if both else 0
            rows.append((key[1], pairs, len(ours.get(key, ())), len(theirs.get(key, ()))))
        scores[granularity] = {
            f"{title} {name} ({granularity})": value
            for title, wanted in (
                ("Onset + offset + program", (False, True)),
                ("Drum onset", (True,)),
                ("Nondrum onset + offset + program", (False,)),
            )
            for name, value in zip(
                ("precision", "recall", "F1"),
                _ratios(*(sum(row[i] for row in rows if row[0] in wanted) for i in (1, 2, 3))),
                strict=True,
            )
        }
    return scores
