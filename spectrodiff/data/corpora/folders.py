"""Folders of corpora: the files in them, recordings by name, and folders that are splits."""

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from spectrodiff.core.errors import CorpusError, first_line
from spectrodiff.core.files import is_utf8
from spectrodiff.data.recordings import RecordingGroup, Skip

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
ALL_AUDIO_SUFFIXES = (*AUDIO_SUFFIXES, ".opus", ".aif", ".aiff", ".au", ".caf", ".w64")
"""Suffixes of audio files that are looked for in folders which are not corpora."""
MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")

# Names of folders that are splits, in small letters.
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def require_folder(source: Path, expected: str, names: Sequence[str]) -> None:
    """Checks that a folder exists and has the given entries.

    Raises:
        CorpusError: names the first missing entry.
    """
    if not source.is_dir():
        raise CorpusError(source, expected, "no such folder")
    missing = [name for name in names if not (source / name).exists()]
    if missing:
        raise CorpusError(source, expected, f"no {missing[0]} in it")


def visible(paths: Iterable[Path]) -> list[Path]:
    """Returns the sorted paths without hidden files, which archives and file managers create."""
    return sorted(path for path in paths if not path.name.startswith("."))


def with_suffix_in(paths: Iterable[Path], suffixes: Sequence[str]) -> list[Path]:
    """Returns the visible files with one of the suffixes, in small or capital letters, sorted."""
    return [path for path in visible(paths) if path.suffix.lower() in suffixes]


def find_file(stem: Path, suffixes: Sequence[str]) -> Path | None:
    """Finds the file of a name with the first of the suffixes that there is, in any letters."""
    for suffix in suffixes:
        path = stem.with_name(stem.name + suffix)
        if path.is_file():
            return path
    # Slower, and seldom needed.
    names = {f"{stem.name}{suffix}".lower(): rank for rank, suffix in enumerate(suffixes)}
    found = [path for path in visible(stem.parent.glob("*")) if path.name.lower() in names]
    return min(found, key=lambda path: names[path.name.lower()], default=None)


def files_below(folder: Path) -> tuple[list[Path], list[Skip]]:
    """Finds all files in a folder and its subfolders, except hidden ones.

    Links to folders are followed. A folder that several links lead to is read once, and one that
    holds `folder` is not read.

    Returns:
        The files, sorted, and the folders that were left out.
    """
    files: list[Path] = []
    skipped: list[Skip] = []
    home, seen = folder.resolve(), set[Path]()
    folders, links = [folder], list[Path]()
    while folders or links:
        # Folders come first, so that recordings have their names rather than those of links.
        place = folders.pop() if folders else links.pop(0)
        target = place.resolve()
        if target in seen or (place != folder and home.is_relative_to(target)):
            skipped.append(Skip(_name(place, folder), "link to a folder that is read anyway"))
            continue
        seen.add(target)
        try:
            entries = visible(place.iterdir())
        except OSError as error:
            reason = first_line(error)
            skipped.append(Skip(_name(place, folder), "unreadable folder", reason))
            continue
        for entry in entries:
            if not entry.is_dir():
                files.append(entry)
            elif entry.is_symlink():
                links.append(entry)
            else:
                folders.append(entry)
    skipped += [
        Skip(_name(file, folder), "link to nothing")
        for file in files
        if file.is_symlink() and not file.exists()
    ]
    return sorted(file for file in files if file.is_file()), skipped


def group_by_name(
    source: Path, suffixes: Iterable[str]
) -> tuple[dict[str, list[Path]], list[Skip]]:
    """Groups the files below a folder by relative path without suffix.

    Names that look the same are the same: Unicode has several ways to write an accent, and file
    systems differ in which they keep.

    Args:
        source: the folder.
        suffixes: suffixes of the files, in small letters.

    Returns:
        The files by name, and what was left out.
    """
    suffixes = set(suffixes)
    groups: dict[str, list[Path]] = defaultdict(list)
    found, skipped = files_below(source)
    for path in found:
        if path.suffix.lower() not in suffixes:
            continue
        id = unicodedata.normalize("NFC", path.relative_to(source).with_suffix("").as_posix())
        if is_utf8(id):
            groups[id].append(path)
        else:
            skipped.append(Skip(_name(path, source), "a file name that is not UTF-8"))
    return dict(groups), skipped


def split_groups(
    groups: dict[str, RecordingGroup], validation_share: float
) -> tuple[dict[str, list[RecordingGroup]], list[Skip]]:
    """Splits groups by the folders that they are in, or by the hashes of their names.

    The first folder of a name is a split if `SPLIT_FOLDERS` lists it, some recordings are in a
    folder for training, or all are in folders of splits. What is outside these is left out.

    Otherwise a recording stays in its split when others are added, except in very small corpora: of
    two or more recordings, at least one is for training and one for validation.
    """
    inside = {id: split for id in groups if (split := _split_of(id))}
    if "train" in inside.values() or len(inside) == len(groups):
        splits = {
            split: [groups[id] for id, its in inside.items() if its == split]
            for split in SPLIT_FOLDERS
            if split in inside.values()
        }
        outside = [id for id in groups if id not in inside]
        return splits, [Skip(id, "outside the folders of the splits") for id in outside]
    return split_by_hash(groups, validation_share), []


def split_by_hash(
    groups: dict[str, RecordingGroup], validation_share: float
) -> dict[str, list[RecordingGroup]]:
    """Splits groups by the hashes of their names (see `split_groups`)."""
    train, validation = split_by_name(groups, validation_share)
    splits = {"train": train, "validation": validation}
    return {split: [groups[id] for id in sorted(ids)] for split, ids in splits.items()}


def split_by_name(names: Iterable[str], validation_share: float) -> tuple[list[str], list[str]]:
    """Splits names into training and validation.

    Of two or more names, each gets at least one; a single one is for training.
    """
    by_hash = sorted(names, key=_hash_share)
    in_validation = sum(_hash_share(name) < validation_share for name in by_hash)
    if validation_share > 0:
        in_validation = min(max(in_validation, 1), len(by_hash) - 1)
    return by_hash[in_validation:], by_hash[:in_validation]


def _split_of(id: str) -> str | None:
    folder, slash, _ = id.partition("/")
    names = SPLIT_FOLDERS.items() if slash else ()
    return next((split for split, names in names if folder.lower() in names), None)


def _hash_share(id: str) -> float:
    """Returns a number in [0, 1) that depends only on the name."""
    return int.from_bytes(hashlib.md5(id.encode()).digest()[:6], "big") / 2**48


def _name(path: Path, folder: Path) -> str:
    """Returns a path relative to a folder, in which bytes that are not UTF-8 are escaped."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode(errors="backslashreplace")
