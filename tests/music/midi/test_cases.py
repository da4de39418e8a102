"""Small files that are odd in one way each, with the notes a player sounds."""

import json
from pathlib import Path

import pytest

from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.reader import read_midi
from tests.support.notation import note_rows

FOLDER = Path(__file__).parent / "cases"
CASES = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_case(name: str):
    expected = CASES[name]["notes"]
    if isinstance(expected, str):
        with pytest.raises(MidiError, match=name) as error:
            read_midi(FOLDER / name)
        assert "\n" not in str(error.value)
        return
    rows = note_rows(read_midi(FOLDER / name))
    notes = [(onset, pitch, program, drum) for onset, _, pitch, _, program, drum in rows]
    wanted = [(pytest.approx(onset, abs=5e-5), *others) for onset, _, *others in sorted(expected)]
    assert sorted(notes) == wanted
    for row, (onset, offset, _, _, is_drum) in zip(sorted(rows), sorted(expected), strict=True):
        if not is_drum:
            # Notes of no length last 10 ms; times are rounded.
            shortest = max(offset, onset + 0.01) if offset == onset else offset
            assert row[1] == pytest.approx(shortest, abs=1e-4), row


def test_every_file_has_an_answer():
    files = {path.name for path in FOLDER.iterdir()} - {"expected.json"}
    assert files == set(CASES)
