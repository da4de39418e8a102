import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import urmp
from spectrodiff.data.recordings import read_group
from tests.support.corpora import write_urmp

# Onset [s], frequency [Hz], duration [s]
VIOLIN = "0.10 440.0 0.25\n0.50\t446.0\t0.25\n"  # pitch 69, and 69 again, 23 cents sharp
CELLO = "0.2 65.406 0.3\n\n"  # C2 is 36


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


def test_nine_recordings_are_for_validation(tmp_path):
    for name in ("01_Jupiter_vn_vc", "03_Dance_fl_cl", "39_Jerusalem_vn_va_sax_db", "44_K515_vn"):
        codes = name.split("_")[2:]
        write_urmp(tmp_path / name, codes, [VIOLIN] * len(codes))
    (tmp_path / "Supplementary_Files").mkdir()
    write_urmp(tmp_path / "02_Supplementary_vn", ["vn"], [VIOLIN])
    (tmp_path / ".05_Entertainer_tpt_tpt").mkdir()
    assert ids(urmp.plan(tmp_path)) == {
        "train": ["03_Dance_fl_cl", "44_K515_vn"],
        "validation": ["01_Jupiter_vn_vc", "39_Jerusalem_vn_va_sax_db"],
    }


def test_notes_are_those_of_the_players_not_of_the_score(tmp_path):
    write_urmp(tmp_path / "01_Jupiter_vn_vc", ["vn", "vc"], [VIOLIN, CELLO])
    (recording,) = read_group(urmp.plan(tmp_path).splits["validation"][0]).recordings
    notes = recording.notes
    np.testing.assert_allclose(notes.onset_seconds, [0.1, 0.2, 0.5])
    np.testing.assert_allclose(notes.offset_seconds, [0.35, 0.5, 0.75])
    np.testing.assert_array_equal(notes.pitch, [69, 36, 69])
    np.testing.assert_array_equal(notes.program, [40, 42, 40])
    assert len(recording.audio) == 16_000


def test_the_trombone_whose_files_say_trumpet(tmp_path):
    folder = tmp_path / "15_Surprise_tpt_tpt_tbn"
    write_urmp(folder, ["tpt", "tpt", "tbn"], [VIOLIN, VIOLIN, CELLO], ["tpt", "tpt", "tpt"])
    (recording,) = read_group(urmp.plan(tmp_path).splits["train"][0]).recordings
    assert recording.notes.program[recording.notes.pitch == 36] == [57]
    assert set(recording.notes.program[recording.notes.pitch == 69]) == {56}


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("03_Dance_fl_cl", lambda f: next(f.glob("AuMix*")).unlink(), "no AuMix_*.wav"),
        (
            "03_Dance_fl_cl",
            lambda f: next(f.glob("Notes_2_*")).unlink(),
            "no Notes_*.txt of a player",
        ),
        (
            "03_Dance_fl_cl",
            lambda f: (f / "AuMix_2.wav").touch(),
            "several AuMix_*.wav",
        ),
        (
            "03_Dance_fl_cl",
            lambda f: (f / "Notes_1_again.txt").touch(),
            "several Notes_*.txt of a player",
        ),
        ("03_Dance_fl_kazoo", lambda f: None, "unknown instrument"),
    ],
)
def test_an_incomplete_recording_is_skipped(tmp_path, name, damage, reason):
    write_urmp(tmp_path / name, name.split("_")[2:], [VIOLIN, VIOLIN])
    damage(tmp_path / name)
    plan = urmp.plan(tmp_path)
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [(name, reason)]


@pytest.mark.parametrize("text", ["0.1 440.0\n", "0.1 0.0 0.5\n", "0.1 A4 0.5\n", "0.1 nan 0.5\n"])
def test_unreadable_notes_are_reported(tmp_path, text):
    write_urmp(tmp_path / "03_Dance_fl", ["fl"], [text])
    outcome = read_group(urmp.plan(tmp_path).splits["train"][0])
    assert [skip.reason for skip in outcome.skipped] == ["unreadable Notes_*.txt"]


def test_another_folder_is_refused(tmp_path):
    (tmp_path / "something").mkdir()
    with pytest.raises(CorpusError, match="no NN_Title_instruments folders"):
        urmp.plan(tmp_path)
