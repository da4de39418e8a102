"""Folder of recordings: pairs of `NAME.wav` (.flac, .ogg, .mp3) and `NAME.mid` (.midi)."""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import (
    SPLITS,
    Plan,
    RecordingGroup,
    Skip,
    StemReader,
    read_pcm,
    read_recorded_midi,
    require_folder,
    visible,
)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
MIDI_SUFFIXES = (".mid", ".midi")


def plan(source: Path, validation_share: float = 0.1) -> Plan:
    """Plans the corpus: all pairs in a folder and its subfolders.

    Args:
        source: the folder. If it has a subfolder `train`, or all pairs are in `validation` and
            `test`, its subfolders `train`, `validation` and `test` are the splits.
        validation_share: otherwise, share of the pairs for validation, chosen by name.

    Raises:
        CorpusError: if there are no pairs.
    """
    require_folder(source, "a folder of recordings", [])
    skipped: list[Skip] = []
    groups = {}
    for id, files in group_by_name(source, (*AUDIO_SUFFIXES, *MIDI_SUFFIXES)).items():
        audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
        midi = [path for path in files if path.suffix.lower() in MIDI_SUFFIXES]
        if len(audio) == len(midi) == 1:
            stem = StemReader(
                functools.partial(read_pcm, audio[0]),
                functools.partial(read_recorded_midi, midi[0]),
            )
            groups[id] = RecordingGroup.single(id, stem)
        elif audio and midi:
            skipped.append(Skip(id, "several audio or MIDI files with the same name"))
        else:
            skipped.append(Skip(id, "audio without MIDI" if audio else "MIDI without audio"))
    if not groups:
        raise CorpusError(source, "audio files with MIDI files of the same name", "none")
    return Plan(split_groups(source, groups, validation_share), skipped)


def group_by_name(source: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """Groups the files below a folder by relative path without suffix."""
    suffixes = set(suffixes)
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in visible(source.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(source).parts)
        if path.suffix.lower() in suffixes and path.is_file() and not hidden:
            groups[path.relative_to(source).with_suffix("").as_posix()].append(path)
    return dict(groups)


def split_groups(
    source: Path | None, groups: dict[str, RecordingGroup], validation_share: float
) -> dict[str, list[RecordingGroup]]:
    """Splits groups by the subfolders of `source`, or by the hashes of their names.

    A recording stays in its split when others are added, except in very small corpora: of two or
    more recordings, at least one is for training and one for validation.
    """
    if source is not None:
        folders: dict[str, list[RecordingGroup]] = {
            split: [] for split in SPLITS if (source / split).is_dir()
        }
        inside = {id: id.split("/")[0] for id in groups if id.split("/")[0] in folders}
        if "train" in folders or len(inside) == len(groups):
            for id, folder in inside.items():
                folders[folder].append(groups[id])
            return folders
    train, validation = split_by_name(groups, validation_share)
    splits = {"train": train, "validation": validation}
    return {split: [groups[id] for id in sorted(ids)] for split, ids in splits.items()}


def split_by_name(names: Iterable[str], validation_share: float) -> tuple[list[str], list[str]]:
    """Splits names into training and validation; of two or more names, each gets at least one."""
    by_hash = sorted(names, key=_hash_share)
    in_validation = sum(_hash_share(name) < validation_share for name in by_hash)
    if validation_share > 0 and len(by_hash) > 1:
        in_validation = min(max(in_validation, 1), len(by_hash) - 1)
    return by_hash[in_validation:], by_hash[:in_validation]


def _hash_share(id: str) -> float:
    """Returns a number in [0, 1) that depends only on the name."""
    return int.from_bytes(hashlib.md5(id.encode()).digest()[:6], "big") / 2**48
