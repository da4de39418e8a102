import json
from pathlib import Path

import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import maestro
from spectrodiff.data.recordings import read_group
from tests.support.corpora import write_maestro, write_tone

ROWS = [("train", "2018/one"), ("test", "2018/two--1"), ("train", "2004/three")]


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


@pytest.fixture
def release(tmp_path) -> Path:
    write_maestro(tmp_path, ROWS)
    return tmp_path


def test_splits_are_those_of_the_table(release):
    # Titles in the table contain commas and quotation marks.
    expected = {"train": ["2018/one", "2004/three"], "validation": [], "test": ["2018/two--1"]}
    assert ids(maestro.plan(release)) == expected


def test_the_column_oriented_json_says_the_same(release):
    from_csv = maestro.plan(release)
    (release / "maestro-v3.0.0.csv").unlink()
    columns = {
        "split": {str(row): split for row, (split, _) in enumerate(ROWS)},
        "midi_filename": {str(row): f"{name}.midi" for row, (_, name) in enumerate(ROWS)},
        "audio_filename": {str(row): f"{name}.wav" for row, (_, name) in enumerate(ROWS)},
        "duration": {str(row): 1.0 for row in range(len(ROWS))},
    }
    (release / "maestro-v3.0.0.json").write_text(json.dumps(columns))
    from_json = maestro.plan(release)
    assert ids(from_json) == ids(from_csv)
    recordings = read_group(from_json.splits["test"][0]).recordings
    assert [recording.id for recording in recordings] == ["2018/two--1"]


def test_the_pedal_extends_notes(release):
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(resolution=500, initial_tempo=120)
    piano = pretty_midi.Instrument(0)
    piano.notes = [pretty_midi.Note(80, 60, 0.1, 0.2), pretty_midi.Note(80, 64, 0.5, 0.9)]
    piano.control_changes = [
        pretty_midi.ControlChange(64, 127, 0.15),  # down while the first note sounds
        pretty_midi.ControlChange(64, 0, 0.4),  # up: the first note ends
    ]
    midi.instruments.append(piano)
    midi.write(str(release / "2018/one.midi"))
    (recording,) = read_group(maestro.plan(release).splits["train"][0]).recordings
    np.testing.assert_allclose(recording.notes.offset_seconds, [0.4, 0.9], atol=1e-3)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "2018/one.wav").unlink(), "no audio file"),
        (lambda folder: (folder / "2018/one.midi").unlink(), "no MIDI file"),
        (lambda folder: (folder / "2018/one.midi").write_bytes(b""), "expected a MIDI file"),
        # The table states 1 s: audio with a wrong rate or of another recording.
        (
            lambda folder: write_tone(folder / "2018/one.wav", 6.5),
            "audio longer or shorter than stated by the corpus",
        ),
    ],
)
def test_a_damaged_recording_is_skipped(release, damage, reason):
    damage(release)
    outcome = read_group(maestro.plan(release).splits["train"][0])
    assert [skip.reason for skip in outcome.skipped] == [reason]
    assert not outcome.recordings


def test_a_folder_that_is_not_the_release_is_refused(tmp_path, release):
    with pytest.raises(CorpusError, match="no such file or folder"):
        maestro.plan(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"no maestro-v\*.csv"):
        maestro.plan(release / "2018")
    table = release / "maestro-v3.0.0.csv"
    whole = table.read_text()
    table.write_text(whole.replace("split", "part", 1))
    with pytest.raises(CorpusError, match="a value of split"):
        maestro.plan(release)
    table.write_text(whole.replace("train", "trian", 1))
    with pytest.raises(CorpusError, match="'trian'"):
        maestro.plan(release)
    table.unlink()
    # MAESTRO v2 had a list of records.
    (release / "maestro-v3.0.0.json").write_text('[{"split": "train"}]')
    with pytest.raises(CorpusError, match="the columns of MAESTRO v3"):
        maestro.plan(release)


def test_a_table_of_another_encoding_is_one_clear_error(release):
    table = release / "maestro-v3.0.0.csv"
    whole = table.read_text(encoding="utf-8")
    # As Excel saves it: with a mark in front, which belongs to no name.
    table.write_text(whole.replace("Mozart", "Dvořák"), encoding="utf-8-sig")
    assert ids(maestro.plan(release))["train"] == ["2018/one", "2004/three"]
    table.write_text(whole.replace("Mozart", "Fauré"), encoding="latin-1")
    with pytest.raises(CorpusError, match=r"maestro-v3\.0\.0\.csv: expected a CSV table in UTF-8"):
        maestro.plan(release)


def test_a_recording_in_two_rows_is_refused(release):
    table = release / "maestro-v3.0.0.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(CorpusError, match=r"each MIDI file once, got 2018/one\.midi again"):
        maestro.plan(release)
