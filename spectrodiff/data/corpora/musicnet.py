"""MusicNet: classical chamber music with aligned scores.

Thickstun et al., "Learning Features of Music from Scratch". The folder holds `train_data`,
`train_labels`, `test_data` and `test_labels` with ID.wav and ID.csv. The labels called "em" are a
better alignment by Maman and Bermano, "Unaligned Supervision for Automatic Music Transcription in
the Wild": MIDI files whose names begin with the ID, in a folder `musicnet_em`.
"""

import csv
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import (
    Part,
    Plan,
    Skip,
    Track,
    Unusable,
    labelled_notes,
    read_mono,
    read_recorded_midi,
    require_folder,
    visible,
)
from spectrodiff.music.notes import Notes

Labels = Literal["plain", "em"]
SplitName = Literal["mt3", "official"]

# MT3's splits; what is not listed is for training.
_MT3_VALIDATION = "1733 1765 1790 1818 2160 2198 2289 2300 2308 2315 2336 2466 2477 2504 2611"
_MT3_TEST = "1729 1776 1813 1893 2118 2186 2296 2431 2432 2487 2497 2501 2507 2537 2621"
# The test set of the release with ten recordings; the first release had three of them.
_OFFICIAL_TEST = "1759 1819 2106 2191 2298 2303 2382 2416 2556 2628"
SPLITS: dict[SplitName, dict[str, frozenset[str]]] = {
    "mt3": {
        "validation": frozenset(_MT3_VALIDATION.split()),
        "test": frozenset(_MT3_TEST.split()),
    },
    "official": {"test": frozenset(_OFFICIAL_TEST.split())},
}

# Times in the labels count samples at this rate, whatever the rate of the audio file is.
LABEL_RATE = 44_100

_FOLDERS = ("train", "test")
_EM_FOLDER = "musicnet_em"
_EXPECTED = "an unpacked MusicNet release"


def plan(source: Path, labels: Labels = "plain", splits: SplitName = "mt3") -> Plan:
    """All recordings of the release, in the splits asked for.

    Args:
        source: the unpacked release; for "em" labels with the folder `musicnet_em` in it.
        labels: which alignment.
        splits: MT3's, or those of the release (which has no validation split).

    Raises:
        CorpusError: if folders are missing.
    """
    needed = [f"{half}_{kind}" for half in _FOLDERS for kind in ("data", "labels")]
    require_folder(source, _EXPECTED, needed if labels == "plain" else needed[::2])
    find_labels = _plain_labels if labels == "plain" else _em_labels(source)
    listed = SPLITS[splits]
    result = Plan({"train": [], **{split: [] for split in listed}})
    recordings = {
        path.stem: path
        for half in _FOLDERS
        for path in visible((source / f"{half}_data").glob("*.wav"))
    }
    if not recordings:
        raise CorpusError(source, _EXPECTED, "no recordings in it")
    for id, path in sorted(recordings.items()):
        split = next((name for name, ids in listed.items() if id in ids), "train")
        read_notes = find_labels(path)
        if read_notes is None:
            result.skipped.append(Skip(id, "no labels"))
            continue
        part = Part(functools.partial(read_mono, path), read_notes)
        result.splits[split].append(Track.of_one(id, part))
    return result


def read_labels(path: Path) -> Notes:
    """The notes of a CSV file of labels.

    Raises:
        Unusable: if the file is not a label file, or names an instrument that does not exist.
        MidiError: if a value is out of range.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [_row(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable("unreadable labels") from error
    return labelled_notes(rows)


def _row(row: dict[str, str]) -> tuple[float, float, int, int]:
    program = int(row["instrument"]) - 1  # Counted from 1 in the labels.
    if not 0 <= program <= 127:
        raise Unusable("unknown instrument")
    onset, offset = (int(row[name]) / LABEL_RATE for name in ("start_time", "end_time"))
    return onset, offset, int(row["note"]), program


def _plain_labels(audio: Path) -> Callable[[], Notes] | None:
    folder = audio.parent.name.replace("_data", "_labels")
    path = audio.parent.parent / folder / f"{audio.stem}.csv"
    return functools.partial(read_labels, path) if path.is_file() else None


def _em_labels(source: Path) -> Callable[[Path], Callable[[], Notes] | None]:
    require_folder(source, "MusicNet with the EM labels", [_EM_FOLDER])
    # The archive may have been unpacked into a folder of its own name.
    files = {
        match[0]: path
        for path in visible((source / _EM_FOLDER).rglob("*.mid"))
        if (match := re.match(r"\d{4}", path.name))
    }
    if not files:
        raise CorpusError(source / _EM_FOLDER, "MIDI files named by recording", "none")

    def find(audio: Path) -> Callable[[], Notes] | None:
        path = files.get(audio.stem)
        return functools.partial(read_recorded_midi, path) if path else None

    return find
