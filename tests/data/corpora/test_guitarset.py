import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import guitarset
from spectrodiff.data.recordings import read_group
from tests.support.corpora import write_guitarset

STRINGS = [
    [(0.25, 0.25, 40.4)],  # rounds down to 40
    [],  # a string that is not played
    [(0.1, 0.2, 50.6), (0.5, 0.1, 52.0)],  # rounds up to 51
    [],
    [],
    [(0.5, 0.25, 64.0)],
]


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


def test_the_third_progression_of_each_style_is_for_validation(tmp_path):
    # Keys may contain a sharp.
    for id in ("00_BN1-129-Eb_comp", "05_Jazz2-187-F#_solo", "03_SS3-98-C_comp"):
        write_guitarset(tmp_path, id, STRINGS)
    assert ids(guitarset.plan(tmp_path)) == {
        "train": [
            "00_BN1-129-Eb_comp_mic",
            "00_BN1-129-Eb_comp_mix",
            "05_Jazz2-187-F#_solo_mic",
            "05_Jazz2-187-F#_solo_mix",
        ],
        "validation": ["03_SS3-98-C_comp_mic", "03_SS3-98-C_comp_mix"],
    }


def test_six_strings_become_one_guitar(tmp_path):
    write_guitarset(tmp_path, "00_BN1-129-Eb_comp", STRINGS)
    groups = guitarset.plan(tmp_path).splits["train"]
    mic, mix = (read_group(group).recordings[0] for group in groups)
    for recording in (mic, mix):
        notes = recording.notes
        # Sorted by onset; of two at 0.5 s, the lower string is first.
        np.testing.assert_allclose(notes.onset_seconds, [0.1, 0.25, 0.5, 0.5])
        np.testing.assert_allclose(notes.offset_seconds, [0.3, 0.5, 0.6, 0.75])
        np.testing.assert_array_equal(notes.pitch, [51, 40, 52, 64])
        np.testing.assert_array_equal(notes.program, 24)
        assert not notes.is_drum.any()
    # Microphone and pickup recordings differ: 440 and 880 Hz in the fixture.
    for recording, hertz in ((mic, 440), (mix, 880)):
        assert np.argmax(np.abs(np.fft.rfft(recording.audio))) == hertz


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "unreadable annotation"),
        ("<html>", "unreadable annotation"),
        ('{"annotations": []}', "no note_midi in the annotation"),
        (
            '{"annotations": [{"namespace": "note_midi", "data": [{"time": 0}]}]}',
            "unreadable annotation",
        ),
        ('{"annotations": [{"namespace": "note_midi", "data": []}]}', "no notes"),
    ],
)
def test_a_bad_annotation_is_reported(tmp_path, text, reason):
    write_guitarset(tmp_path, "00_BN1-129-Eb_comp", STRINGS)
    (tmp_path / "annotation/00_BN1-129-Eb_comp.jams").write_text(text)
    outcome = read_group(guitarset.plan(tmp_path).splits["train"][0])
    assert [skip.reason for skip in outcome.skipped] == [reason]


def test_missing_folders_and_odd_names(tmp_path):
    write_guitarset(tmp_path, "my_song", STRINGS)
    (tmp_path / "annotation/._00_BN1-129-Eb_comp.jams").write_text("left by a file manager")
    plan = guitarset.plan(tmp_path)
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [
        ("my_song", "file name without a progression")
    ]
    with pytest.raises(CorpusError, match="no annotation in it"):
        guitarset.plan(tmp_path / "annotation")
