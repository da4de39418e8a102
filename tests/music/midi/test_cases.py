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
    rows = sorted(note_rows(read_midi(FOLDER / name)), key=lambda row: (row[0], row[2]))
    wanted = sorted(expected, key=lambda row: (row[0], row[2]))
    for row, (onset, offset, *rest) in zip(rows, wanted, strict=True):
        assert row[0] == pytest.approx(onset, abs=5e-5)
        assert [row[2], *row[4:]] == rest
        if not rest[-1]:
            # Notes of no length last 10 ms.
            assert row[1] == pytest.approx(offset + 0.01 * (onset == offset), abs=5e-5)


def test_every_file_has_an_answer():
    files = {path.name for path in FOLDER.iterdir()} - {"expected.json"}
    assert files == set(CASES)
