import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import musicnet
from spectrodiff.data.recordings import read_group
from tests.support.corpora import write_musicnet, write_notes, write_tone

ROWS = [
    "22050,33075,41,64,0.0,1.0,Quarter",  # 0.5 to 0.75 s, instrument 41 counted from 1: violin
    "4410,44100,1,60,0.0,2.0,Half",  # 0.1 to 1.0 s, piano
]


@pytest.fixture
def release(tmp_path):
    for half, id in [
        ("train", "1727"),
        ("train", "1733"),
        ("train", "1729"),
        ("test", "1759"),
        ("train", "2106"),
    ]:
        write_musicnet(tmp_path, half, id, ROWS)
    return tmp_path


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


def test_splits_of_mt3(release):
    # 1759 is in the test folder of the release, but for training in the split of MT3.
    assert ids(musicnet.plan(release)) == {
        "train": ["1727", "1759", "2106"],
        "validation": ["1733"],
        "test": ["1729"],
    }


def test_official_splits(release):
    # 2106 is a test recording, although it is in the training folder of the first release.
    assert ids(musicnet.plan(release, splits="official")) == {
        "train": ["1727", "1729", "1733"],
        "test": ["1759", "2106"],
    }


def test_the_published_lists_are_complete():
    lists = musicnet.SPLITS["mt3"]
    assert len(lists["validation"]) == len(lists["test"]) == 15
    assert not lists["validation"] & lists["test"]
    assert len(musicnet.SPLITS["official"]["test"]) == 10


def test_times_count_samples_and_instruments_count_from_one(release):
    (recording,) = read_group(musicnet.plan(release).splits["train"][0]).recordings
    notes = recording.notes
    np.testing.assert_array_equal(notes.onset_seconds, [0.1, 0.5])
    np.testing.assert_array_equal(notes.offset_seconds, [1.0, 0.75])
    np.testing.assert_array_equal(notes.pitch, [60, 64])
    np.testing.assert_array_equal(notes.program, [0, 40])


def test_times_do_not_follow_the_rate_of_the_audio_file(release):
    write_tone(release / "train_data/1727.wav", 1.0, rate=22_050)
    (recording,) = read_group(musicnet.plan(release).splits["train"][0]).recordings
    np.testing.assert_array_equal(recording.notes.onset_seconds, [0.1, 0.5])


@pytest.mark.parametrize("folder", ["musicnet_em", "musicnet_em/musicnet_em"])
def test_em_labels_are_midi_files_named_by_recording(release, folder):
    write_notes(release / folder / "1727_quintet_1.mid", (0.2, 0.4, 70), program=71)
    write_notes(release / folder / "1759.mid", (0.3, 0.4, 71))
    # The archive of unaligned scores has similar names, and must not be used.
    write_notes(release / "musicnet_midis/Mozart/1733_quartet.mid", (0.0, 0.5, 12))
    plan = musicnet.plan(release, "em")
    assert ids(plan) == {"train": ["1727", "1759"], "validation": [], "test": []}
    assert {(skip.id, skip.reason) for skip in plan.skipped} == {
        ("1729", "no labels"),
        ("1733", "no labels"),
        ("2106", "no labels"),
    }
    (recording,) = read_group(plan.splits["train"][0]).recordings
    np.testing.assert_allclose(recording.notes.onset_seconds, [0.2], atol=1e-3)
    np.testing.assert_array_equal(recording.notes.program, [71])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0,100,0,60,0,0,Half", "unknown instrument"),
        ("0,100,129,60,0,0,Half", "unknown instrument"),
        ("0,100,1,200,0,0,Half", "expected pitch in 0..127"),
        ("start,100,1,60,0,0,Half", "unreadable labels"),
        ("9000000,9900000,1,60,0,0,Half", "most labels past the end of the audio"),
    ],
)
def test_bad_labels_are_reported(release, row, reason):
    labels = release / "train_labels/1727.csv"
    labels.write_text(f"{labels.read_text().splitlines()[0]}\n{row}\n")
    outcome = read_group(musicnet.plan(release).splits["train"][0])
    assert [skip.reason for skip in outcome.skipped] == [reason]


def test_labels_in_another_encoding_are_named(release):
    labels = release / "train_labels/1727.csv"
    labels.write_text(labels.read_text().replace("Quarter", "Viertel, französisch"), "latin-1")
    (skip,) = read_group(musicnet.plan(release).splits["train"][0]).skipped
    assert skip.reason == "unreadable labels"
    assert skip.detail.startswith("1727.csv: 'utf-8' codec can't decode byte 0xf6")


def test_capital_suffixes(release):
    for path in release.glob("train_data/*.wav"):
        path.rename(path.with_suffix(".WAV"))
    assert len(ids(musicnet.plan(release))["train"]) == 3
    write_notes(release / "musicnet_em/1727.mid", (0.2, 0.4, 70))
    (release / "musicnet_em/1727.mid").rename(release / "musicnet_em/1727.MIDI")
    assert ids(musicnet.plan(release, "em"))["train"] == ["1727"]


def test_a_recording_with_two_files_is_refused(release):
    for name in ("a/1727.mid", "b/1727_again.mid"):
        write_notes(release / "musicnet_em" / name, (0.2, 0.4, 70))
    with pytest.raises(CorpusError, match="one file of labels for recording 1727, got also"):
        musicnet.plan(release, "em")
    write_tone(release / "test_data/1727.wav", 1.0)
    with pytest.raises(CorpusError, match=r"1727\.wav: expected each recording once, got also"):
        musicnet.plan(release)


def test_missing_labels_and_folders(release):
    (release / "train_labels/1727.csv").unlink()
    plan = musicnet.plan(release)
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("1727", "no labels")]
    with pytest.raises(CorpusError, match="no musicnet_em in it"):
        musicnet.plan(release, "em")
    with pytest.raises(CorpusError, match="no train_data in it"):
        musicnet.plan(release / "train_data")
