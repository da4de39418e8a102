"""Your own recordings: a folder of `name.wav` (or .flac, .ogg, .mp3) with `name.mid` (or .midi)."""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import (
    Part,
    Plan,
    Skip,
    Track,
    read_mono,
    read_recorded_midi,
    require_folder,
    visible,
)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
MIDI_SUFFIXES = (".mid", ".midi")
SPLITS = ("train", "validation", "test")


def plan(source: Path, validation_share: float = 0.1) -> Plan:
    """All pairs in a folder and its subfolders.

    Args:
        source: the folder. If it has a folder `train`, or nothing outside `validation` and `test`,
            then `train`, `validation` and `test` in it are the splits.
        validation_share: else this share of the pairs is for validation, chosen by their names.

    Raises:
        CorpusError: if there are no pairs.
    """
    require_folder(source, "a folder of recordings", [])
    skipped: list[Skip] = []
    tracks = {}
    for id, files in group_by_name(source, (*AUDIO_SUFFIXES, *MIDI_SUFFIXES)).items():
        audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
        midi = [path for path in files if path.suffix.lower() in MIDI_SUFFIXES]
        if len(audio) == len(midi) == 1:
            part = Part(
                functools.partial(read_mono, audio[0]),
                functools.partial(read_recorded_midi, midi[0]),
            )
            tracks[id] = Track.of_one(id, part)
        elif audio and midi:
            skipped.append(Skip(id, "several audio or MIDI files of one name"))
        else:
            skipped.append(Skip(id, "audio without MIDI" if audio else "MIDI without audio"))
    if not tracks:
        raise CorpusError(source, "audio files with MIDI files of the same name", "none")
    return Plan(split_tracks(source, tracks, validation_share), skipped)


def group_by_name(source: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """Files below a folder by what they are called there without their suffix."""
    suffixes = set(suffixes)
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in visible(source.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(source).parts)
        if path.suffix.lower() in suffixes and path.is_file() and not hidden:
            groups[path.relative_to(source).with_suffix("").as_posix()].append(path)
    return dict(groups)


def split_tracks(
    source: Path | None, tracks: dict[str, Track], validation_share: float
) -> dict[str, list[Track]]:
    """Divides tracks by the folders they lie in, or a share by the hash of their names.

    A recording stays where it is when others are added, unless there are very few: of two or more,
    at least one is for training and one for validation.
    """
    if source is not None:
        folders: dict[str, list[Track]] = {
            split: [] for split in SPLITS if (source / split).is_dir()
        }
        inside = {id: id.split("/")[0] for id in tracks if id.split("/")[0] in folders}
        if "train" in folders or len(inside) == len(tracks):
            for id, folder in inside.items():
                folders[folder].append(tracks[id])
            return folders
    train, validation = split_by_name(tracks, validation_share)
    splits = {"train": train, "validation": validation}
    return {split: [tracks[id] for id in sorted(ids)] for split, ids in splits.items()}


def split_by_name(names: Iterable[str], validation_share: float) -> tuple[list[str], list[str]]:
    """Names for training and for validation; of two or more, at least one for either."""
    by_hash = sorted(names, key=_hash_share)
    in_validation = sum(_hash_share(name) < validation_share for name in by_hash)
    if validation_share > 0 and len(by_hash) > 1:
        in_validation = min(max(in_validation, 1), len(by_hash) - 1)
    return by_hash[in_validation:], by_hash[:in_validation]


def _hash_share(id: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.md5(id.encode()).digest()[:6], "big") / 2**48
