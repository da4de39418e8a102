import numpy as np
import pytest
import soundfile

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import pairs
from spectrodiff.data.recordings import read_group
from tests.support.corpora import tone, write_notes, write_tone


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


def write_pair(folder, name: str) -> None:
    write_tone(folder / f"{name}.wav", 0.5)
    write_notes(folder / f"{name}.mid", (0.1, 0.2, 60), program=40)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".WAV"])
@pytest.mark.parametrize("midi", [".mid", ".midi"])
def test_any_audio_file_with_any_midi_file(tmp_path, suffix, midi):
    soundfile.write(tmp_path / f"a.b{suffix}", tone(1.0, rate=48_000), 48_000)
    write_notes(tmp_path / f"a.b{midi}", (0.1, 0.2, 60), program=40)
    (group,) = pairs.plan(tmp_path).splits["train"]
    (recording,) = read_group(group).recordings
    assert recording.id == "a.b"
    assert abs(len(recording.audio) - 16_000) < 800  # MP3 adds padding
    np.testing.assert_array_equal(recording.notes.program, [40])


def test_subfolders_may_be_the_splits(tmp_path):
    for name in ("train/a", "train/more/b", "test/c"):
        write_pair(tmp_path, name)
    assert ids(pairs.plan(tmp_path)) == {"train": ["train/a", "train/more/b"], "test": ["test/c"]}


def test_a_folder_with_only_a_test_split(tmp_path):
    for name in ("test/a", "test/more/b"):
        write_pair(tmp_path, name)
    assert ids(pairs.plan(tmp_path)) == {"test": ["test/a", "test/more/b"]}
    # With recordings outside it, `test` is an ordinary folder.
    write_pair(tmp_path, "c")
    splits = ids(pairs.plan(tmp_path))
    assert sorted(splits["train"] + splits["validation"]) == ["c", "test/a", "test/more/b"]


def test_recordings_stay_in_their_split_when_others_are_added(tmp_path):
    for number in range(20):
        write_pair(tmp_path, f"take{number}")
    before = ids(pairs.plan(tmp_path, 0.25))
    assert sorted(before["train"] + before["validation"]) == sorted(
        f"take{number}" for number in range(20)
    )
    assert 1 <= len(before["validation"]) <= 10
    for number in range(20, 30):
        write_pair(tmp_path, f"take{number}")
    after = ids(pairs.plan(tmp_path, 0.25))
    assert set(before["train"]) < set(after["train"])
    assert set(before["validation"]) <= set(after["validation"])
    assert not ids(pairs.plan(tmp_path, 0.0))["validation"]


def test_two_recordings_are_one_for_each(tmp_path):
    for name in ("a", "b"):
        write_pair(tmp_path, name)
    assert [len(names) for names in ids(pairs.plan(tmp_path, 0.01)).values()] == [1, 1]


def test_incomplete_pairs_are_reported(tmp_path):
    write_pair(tmp_path, "good")
    write_pair(tmp_path, "twice")
    write_tone(tmp_path / "twice.flac", 0.5)
    write_tone(tmp_path / "alone.wav", 0.5)
    write_notes(tmp_path / "silent.mid", (0.1, 0.2, 60))
    write_pair(tmp_path, ".hidden/a")
    (tmp_path / "notes.txt").write_text("")
    plan = pairs.plan(tmp_path)
    assert {(skip.id, skip.reason) for skip in plan.skipped} == {
        ("twice", "several audio or MIDI files with the same name"),
        ("alone", "audio without MIDI"),
        ("silent", "MIDI without audio"),
    }
    assert ids(plan)["train"] == ["good"]


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="MIDI files of the same name"):
        pairs.plan(tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        pairs.plan(tmp_path / "nowhere")
