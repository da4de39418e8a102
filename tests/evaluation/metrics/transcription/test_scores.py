import json

import numpy as np
import pytest

from spectrodiff.evaluation.metrics.transcription.scores import (
    Agreement,
    score_onsets,
    score_transcription,
)
from tests.support.notation import note_table


def scores(reference, estimate):
    return score_transcription(note_table(reference), note_table(estimate))


def counts(agreement):
    return agreement.pairs, agreement.references, agreement.estimates


def note(onset=1.0, offset=2.0, pitch=60, program=0, is_drum=False):
    return onset, offset, pitch, 100, program, is_drum


def drum(onset=1.0, offset=1.1, pitch=36, program=0):
    return note(onset, offset, pitch, program, True)


@pytest.mark.parametrize("index", range(6))
def test_scores_are_those_of_mt3(golden, index):
    case = json.loads((golden / "transcription_scores.json").read_text())[index]

    def table(notes):
        return [
            (start, end, pitch, velocity, program, is_drum)
            for pitch, velocity, program, is_drum, start, end in notes
        ]

    result = scores(table(case["ref"]), table(case["est"]))
    assert list(result) == list(case["scores"])
    for granularity, expected in case["scores"].items():
        ours = result[granularity]
        for title, agreement in [
            ("Onset + offset + program {}", ours.all),
            ("Drum onset {}", ours.drums),
            ("Nondrum onset + offset + program {}", ours.nondrums),
        ]:
            for name, value in [
                ("precision", agreement.precision),
                ("recall", agreement.recall),
                ("F1", agreement.f1),
            ]:
                key = f"{title.format(name)} ({granularity})"
                assert value == pytest.approx(expected[key], abs=1e-15), key


@pytest.mark.parametrize(
    ("reference", "estimate", "pairs"),
    [
        (note(), note(), 1),
        (note(), note(pitch=61), 0),
        (note(), note(onset=1.05), 1),  # 50 ms, both inclusive
        (note(), note(onset=0.95), 1),
        (note(), note(onset=1.051), 0),
        (note(), note(offset=2.2), 1),  # a fifth of a second's note
        (note(), note(offset=2.201), 0),
        (note(), note(offset=1.8), 1),
        # The reference note's duration counts: a fifth of 0.5 s is 0.1 s, of 0.65 s 0.13 s.
        (note(offset=1.5), note(offset=1.65), 0),
        (note(offset=1.65), note(offset=1.53), 1),
        (note(offset=1.65), note(offset=1.51), 0),
        # Of a short note, 50 ms instead of 20 ms.
        (note(offset=1.1), note(offset=1.15), 1),
        (note(offset=1.1), note(offset=1.16), 0),
        (drum(), drum(offset=5.0), 1),  # drums have no offset
        (drum(), drum(onset=1.051), 0),
        (drum(), drum(pitch=38), 0),
        (drum(), drum(program=25), 1),  # nor a program
        (drum(), note(offset=1.1, pitch=36), 0),
    ],
)
def test_one_note(reference, estimate, pairs):
    result = scores([reference], [estimate])["full"]
    assert counts(result.all) == (pairs, 1, 1)


@pytest.mark.parametrize(
    ("program", "flat", "midi_class", "full"), [(24, 1, 1, 1), (25, 1, 1, 0), (32, 1, 0, 0)]
)
def test_granularities(program, flat, midi_class, full):
    result = scores([note(program=24)], [note(program=program)])
    assert [result[name].all.pairs for name in ("flat", "midi_class", "full")] == [
        flat,
        midi_class,
        full,
    ]


def test_notes_agree_in_pairs():
    # Two estimates near one note: one of them is wrong.
    assert counts(scores([note()], [note(), note(onset=1.01)])["full"].all) == (1, 1, 2)
    # 1.04 could go with 1.0 or with 1.08; only if it goes with the latter both notes are found.
    result = scores([note(1.0), note(1.08)], [note(0.96), note(1.04)])["full"]
    assert counts(result.all) == (2, 2, 2)


def test_drums_and_all_else_apart():
    reference = [note(), note(pitch=64), drum()]
    result = scores(reference, [note(), drum(), drum(2.0, 2.1), drum(3.0, 3.1)])["full"]
    assert counts(result.drums) == (1, 1, 3)
    assert counts(result.nondrums) == (1, 2, 1)
    assert result.all.precision == 2 / 4
    assert result.all.recall == 2 / 3
    assert result.all.f1 == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))


def test_notes_of_no_duration_do_not_count():
    assert counts(scores([note(), note(3.0, 3.0)], [note(5.0, 5.0)])["flat"].all) == (0, 1, 0)


@pytest.mark.parametrize("empty", ["reference", "estimate", "both"])
def test_silence(empty):
    reference = [] if empty != "estimate" else [note()]
    estimate = [] if empty != "reference" else [note()]
    agreement = scores(reference, estimate)["full"].all
    assert (agreement.precision, agreement.recall, agreement.f1) == (0, 0, 0)


def test_sums_over_songs():
    total = sum([Agreement(1, 2, 3), Agreement(2, 2, 5)], Agreement(0, 0, 0))
    assert counts(total) == (3, 4, 8)


def test_equal_to_scoring_all_notes_at_once():
    """Keys matched apart find as many pairs as mir_eval does among all notes of a track."""
    from mir_eval.transcription import precision_recall_f1_overlap

    rng = np.random.default_rng(0)
    onset = rng.uniform(0, 10, 300)
    reference = [
        note(t, t + d, p)
        for t, d, p in zip(onset, rng.uniform(0.05, 1, 300), rng.integers(60, 72, 300), strict=True)
    ]
    estimate = [
        note(max(a + rng.normal(0, 0.04), 0), b + rng.normal(0, 0.04) + 0.2, p)
        for a, b, p, *_ in reference
    ]

    def columns(rows):
        table = np.array([row[:3] for row in rows])
        return table[:, :2], 440 * 2 ** ((table[:, 2] - 69) / 12)

    precision, recall, f1, _ = precision_recall_f1_overlap(*columns(reference), *columns(estimate))
    agreement = scores(reference, estimate)["full"].nondrums
    assert 0.1 < f1 < 0.9
    assert agreement.precision == pytest.approx(precision, abs=1e-12)
    assert agreement.recall == pytest.approx(recall, abs=1e-12)
    assert agreement.f1 == pytest.approx(f1, abs=1e-12)


def test_onsets_alone():
    played = [note(1, 2), note(3, 4, program=40), drum(5, 5.1), note(7, 8, pitch=62)]
    heard = [note(1.04, 1.2), note(3, 3.1, program=73), note(7.06, 8, pitch=62)]
    # Ends and instruments do not matter, drums are left out, and 60 ms are too late.
    assert counts(score_onsets(note_table(played), note_table(heard))) == (2, 3, 3)
    # Two instruments in unison are two notes, of which one is found.
    unison = [note(), note(program=40)]
    assert counts(score_onsets(note_table(unison), note_table([note()]))) == (1, 2, 1)
