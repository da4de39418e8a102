"""Training, validation and test splits of Slakh2100.

There are three published variants. "original" splits by track number and has some songs in several
splits. "split2" moves these songs, "redux" omits them (1710 of 2100 tracks are left).
"""

import re
from pathlib import Path
from typing import Literal

from spectrodiff.core.errors import CorpusError, first_line
from spectrodiff.core.json_files import json_of
from spectrodiff.data.corpora.folders import visible
from spectrodiff.data.corpora.releases import SLAKH
from spectrodiff.data.recordings import SPLITS

Variant = Literal["redux", "original", "split2"]

REDUX_TRACKS = 1710

_LAST_TRAIN, _LAST_VALIDATION = 1500, 1875
_OMITTED = "omitted"


def track_folders(
    source: Path, variant: Variant, split_list: Path | None = None
) -> dict[str, list[Path]]:
    """Returns the track folders of each split.

    Args:
        source: folder with tracks in train, validation, test and possibly omitted, or directly.
        variant: "original" is determined by track numbers. "redux" is determined by the folders of
            its release, or by its list. "split2" requires its list.
        split_list: `redux.json` or `splits_v2.json` from the `splits` folder of slakh-utils, which
            gives an action for each track of the original split; or {split: [track names]}.

    Raises:
        CorpusError: if there are no tracks, or the list is missing or does not match.
    """
    SLAKH.require(source)
    found = _find_tracks(source)
    if variant == "original" and split_list is None:
        assigned = {name: _original_split(name) for name in found}
    elif split_list is not None:
        assigned = _read_list(split_list, list(found))
    elif variant == "redux":
        assigned = {name: split or _original_split(name) for name, (_, split) in found.items()}
        kept = sum(split != _OMITTED for split in assigned.values())
        if kept > REDUX_TRACKS:
            expected = f"at most {REDUX_TRACKS} tracks, or the list redux.json (--split_list)"
            raise CorpusError(source, expected, f"{kept} tracks, as in the original release")
    else:
        raise CorpusError(source, "the list splits_v2.json (--split_list) for split2", "none")
    return {
        split: [found[name][0] for name in sorted(assigned) if assigned[name] == split]
        for split in SPLITS
    }


def _find_tracks(source: Path) -> dict[str, tuple[Path, str]]:
    """Finds each track's folder and the split that contains it ("" for tracks in the source)."""
    found: dict[str, tuple[Path, str]] = {}
    for split in ("", *SPLITS, _OMITTED):
        for path in visible((source / split).glob("Track*")):
            if re.fullmatch(r"Track\d+", path.name) and path.is_dir():
                if path.name in found:
                    raise CorpusError(path, "each track once", f"also {found[path.name][0]}")
                found[path.name] = (path, split)
    if not found:
        raise SLAKH.lacks(source, "TrackNNNNN folders")
    return found


def _original_split(name: str) -> str:
    number = int(name.removeprefix("Track"))
    if number <= _LAST_TRAIN:
        return "train"
    return "validation" if number <= _LAST_VALIDATION else "test"


def _read_list(path: Path, tracks: list[str]) -> dict[str, str]:
    expected = "a list of splits as in slakh-utils"
    try:
        entries = json_of(path)
    except (OSError, ValueError) as error:
        raise CorpusError(path, expected, first_line(error)) from error
    if not isinstance(entries, dict) or not entries:
        raise CorpusError(path, expected, "something else")
    if set(entries) <= {*SPLITS, _OMITTED}:
        wanted = {name: split for split, names in entries.items() for name in names}
    else:
        wanted = {name: _apply(path, name, entry) for name, entry in entries.items()}
    missing = [name for name in tracks if name not in wanted]
    if missing:
        raise CorpusError(path, f"an entry for {missing[0]}", "none")
    return {name: wanted[name] for name in tracks}


def _apply(path: Path, name: str, entry: object) -> str:
    fields = entry if isinstance(entry, dict) else {}
    action = fields.get("action", "")
    if action is None and re.fullmatch(r"Track\d+", name):
        return _original_split(name)
    if action == "omit":
        return _OMITTED
    if action == "move" and fields.get("destination_split") in SPLITS:
        return str(fields["destination_split"])
    raise CorpusError(path, f"an action of null, omit or move for {name}", repr(entry))
