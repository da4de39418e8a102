"""Tests of the programme of the bench."""

import numpy as np
import pytest

from tests.support.sounds import HELD_BACK


@pytest.mark.parametrize("form", ["short", "long"])
def test_programme(form):
    from listening.programme import FORMS, programme

    pieces = programme(FORMS[form], HELD_BACK)
    assert len({piece.name for piece in pieces}) == len(pieces)
    assert len({piece.checksum for piece in pieces}) == len(pieces)
    groups = {name: [p for p in pieces if p.group == name] for name in {p.group for p in pieces}}
    if form == "short":
        assert len(groups["held back"]) == 6
        assert {piece.notes.total_seconds for piece in groups["held back"]} == {15.0}
    else:
        assert len(groups["held back"]) == 20
    keys = [
        p for piece in groups["notes"] if piece.notes.program[0] == 0 for p in piece.notes.pitch
    ]
    assert keys == list(range(21, 109, 4 if form == "short" else 1))
    for piece in groups["notes"]:
        rests = piece.notes.onset_seconds[1:] - piece.notes.offset_seconds[:-1]
        np.testing.assert_allclose(rests, 0.5)
    for piece in groups["bands"]:
        assert piece.notes.is_drum.any()
        programs = set(piece.notes.program[~piece.notes.is_drum].tolist())
        assert len(programs) >= 3
        assert programs.isdisjoint({0, 24, 33, 48, 73})


def test_studies_are_what_they_are_called():
    from listening import programme

    def voices(notes):
        return max(
            ((notes.onset_seconds <= t) & (notes.offset_seconds > t)).sum()
            for t in notes.onset_seconds
        )

    assert voices(programme.ten_voices()) == 10
    upper = programme.fast().onset_seconds[programme.fast().pitch >= 60]
    np.testing.assert_allclose(np.diff(np.sort(upper)), 60 / 240 / 2)
    np.testing.assert_allclose(np.diff(programme.repeats().onset_seconds), 0.1)
    hits = set(programme.groove().onset_seconds.tolist())
    beats = set(programme.beside_groove().onset_seconds.tolist())
    assert beats < hits
    assert len(hits) == 2 * len(beats)  # half of the hits are drums alone


def test_beginning_ends_what_goes_on():
    from listening.programme import beginning, table

    notes = beginning(table([0, 1, 2], 1.5, [60, 61, 62], total_seconds=9), 2)
    assert notes.pitch.tolist() == [60, 61]
    assert notes.offset_seconds.tolist() == [1.5, 2.0]
    assert notes.total_seconds == 2
