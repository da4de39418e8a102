"""Files in folders of corpora: links, names, and folders that are splits."""

import os
import unicodedata

import pytest

from spectrodiff.data.corpora.folders import (
    files_below,
    find_file,
    group_by_name,
    split_by_name,
    split_groups,
)
from spectrodiff.data.recordings import RecordingGroup


def touch(*paths) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def groups(*ids: str) -> dict[str, RecordingGroup]:
    return {id: RecordingGroup(id, (), ()) for id in ids}


def splits_of(*ids: str) -> dict[str, list[str]]:
    splits, _ = split_groups(groups(*ids), 0.1)
    return {split: [group.id for group in chosen] for split, chosen in splits.items()}


def test_linked_folders_are_read_once(tmp_path):
    touch(tmp_path / "home/real/a.mid", tmp_path / "home/real/in/b.mid", tmp_path / "other/c.mid")
    home = tmp_path / "home"
    (home / "a loop").symlink_to(home)
    (home / "a parent").symlink_to(tmp_path)
    (home / "real/in/up").symlink_to("../..")
    (home / "again").symlink_to(home / "real")
    (home / "else").symlink_to(tmp_path / "other")
    (home / "else too").symlink_to(tmp_path / "other")
    (tmp_path / "other/back").symlink_to(home / "real")
    (home / "nowhere").symlink_to(home / "missing")
    (home / "song.mid").symlink_to(tmp_path / "other/c.mid")
    files, skipped = files_below(home)
    assert [str(path.relative_to(home)) for path in files] == [
        "else/c.mid",
        "real/a.mid",
        "real/in/b.mid",
        "song.mid",
    ]
    nowhere = next(skip for skip in skipped if skip.id == "nowhere")
    assert nowhere.reason == "link to nothing"
    skipped.remove(nowhere)
    assert {skip.id for skip in skipped} == {
        "a loop",
        "a parent",
        "again",
        "else too",
        "else/back",
        "real/in/up",
    }
    assert {skip.reason for skip in skipped} == {"link to a folder that is read anyway"}


def test_the_folder_itself_may_be_a_link(tmp_path):
    touch(tmp_path / "real/a.mid")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files, skipped = files_below(tmp_path / "link")
    assert (files, skipped) == ([tmp_path / "link/a.mid"], [])


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_an_unreadable_folder_is_named(tmp_path):
    touch(tmp_path / "a/b.mid")
    (tmp_path / "a").chmod(0)
    files, skipped = files_below(tmp_path)
    (tmp_path / "a").chmod(0o700)
    assert not files
    assert [(skip.id, skip.reason) for skip in skipped] == [("a", "unreadable folder")]


def test_names_in_any_form_of_unicode_are_the_same(tmp_path):
    name = "Frühling/Für Élise No. 5"
    for form, suffix in (("NFC", ".wav"), ("NFD", ".MID")):
        touch(tmp_path / (unicodedata.normalize(form, name) + suffix))
    named, skipped = group_by_name(tmp_path, [".wav", ".mid"])
    assert list(named) == [unicodedata.normalize("NFC", name)]
    assert sorted(path.suffix for path in named.popitem()[1]) == [".MID", ".wav"]
    assert not skipped


def test_a_name_that_is_not_utf8_is_left_out(tmp_path):
    touch(tmp_path / "a.wav")
    for name in (b"caf\xe9.wav", b"caf\xe9.txt"):
        with open(os.fsencode(tmp_path) + b"/" + name, "w"):
            pass
    named, (skip,) = group_by_name(tmp_path, [".wav"])
    assert list(named) == ["a"]
    assert (skip.id, skip.reason) == (r"caf\xe9.wav", "a file name that is not UTF-8")
    skip.id.encode()


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        ("train training Train TRAIN", "train"),
        ("validation valid val dev development Valid", "validation"),
        ("test testing eval evaluation TEST", "test"),
    ],
)
def test_folders_that_are_splits(folders, split):
    others = {"train": "x/a"} if split == "train" else {"train": "train/a"}
    for folder in folders.split():
        found = splits_of(f"{folder}/b", *others.values())
        assert f"{folder}/b" in found[split]
        assert all("x/a" not in ids for ids in found.values())


def test_recordings_outside_the_splits_are_named():
    splits, skipped = split_groups(groups("train/a", "valid/b", "val/c", "more/d", "train"), 0.1)
    assert {split: len(found) for split, found in splits.items()} == {"train": 1, "validation": 2}
    assert [(skip.id, skip.reason) for skip in skipped] == [
        ("more/d", "outside the folders of the splits"),
        ("train", "outside the folders of the splits"),
    ]


def test_only_some_recordings_in_a_folder_for_validation_are_no_split():
    found = splits_of("val/a", "b", "c")
    assert sorted(found["train"] + found["validation"]) == ["b", "c", "val/a"]
    assert splits_of("val/a", "test/b") == {"validation": ["val/a"], "test": ["test/b"]}


def test_a_single_recording_is_for_training():
    # Whatever its hash is.
    for number in range(50):
        assert split_by_name([f"take{number}"], 0.5) == ([f"take{number}"], [])
    assert split_by_name([], 0.1) == ([], [])


def test_a_file_is_found_in_any_letters(tmp_path):
    touch(tmp_path / "S00.MID", tmp_path / "S01.wav", tmp_path / "S01.flac", tmp_path / "S02.KAR")
    find = [find_file(tmp_path / f"S0{n}", (".mid", ".flac", ".wav", ".kar")) for n in range(4)]
    assert [path and path.name for path in find] == ["S00.MID", "S01.flac", "S02.KAR", None]
