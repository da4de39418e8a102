"""MusicNet: classical chamber music with aligned scores.

Thickstun et al., "Learning Features of Music from Scratch". The folder contains `train_data`,
`train_labels`, `test_data` and `test_labels` with ID.wav and ID.csv. The "em" labels are a more
accurate alignment by Maman and Bermano, "Unaligned Supervision for Automatic Music Transcription in
the Wild": MIDI files with names that start with the ID, in a folder `musicnet_em`.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from spectrodiff.core.errors import CorpusError, first_line
from spectrodiff.core.json_files import csv_rows
from spectrodiff.data.corpora.folders import (
    MIDI_SUFFIXES,
    files_below,
    require_folder,
    with_suffix_in,
)
from spectrodiff.data.corpora.releases import MUSICNET
from spectrodiff.data.recordings import (
    Plan,
    RecordingGroup,
    Skip,
    StemReader,
    Unusable,
    labeled_notes,
    read_pcm,
    read_recorded_midi,
)
from spectrodiff.music.notes import Notes

Labels = Literal["plain", "em"]
SplitName = Literal["mt3", "official"]

# Splits of MT3; recordings not listed are for training.
_MT3_VALIDATION = "1733 1765 1790 1818 2160 2198 2289 2300 2308 2315 2336 2466 2477 2504 2611"
_MT3_TEST = "1729 1776 1813 1893 2118 2186 2296 2431 2432 2487 2497 2501 2507 2537 2621"
# Test set of the release with ten test recordings; the first release had three of them.
_OFFICIAL_TEST = "1759 1819 2106 2191 2298 2303 2382 2416 2556 2628"
SPLITS: dict[SplitName, dict[str, frozenset[str]]] = {
    "mt3": {
        "validation": frozenset(_MT3_VALIDATION.split()),
        "test": frozenset(_MT3_TEST.split()),
    },
    "official": {"test": frozenset(_OFFICIAL_TEST.split())},
}

# Rate in Hz of the sample counts in the labels, for audio files of any rate.
LABEL_RATE = 44_100

_FOLDERS = ("train", "test")
_EM_FOLDER = "musicnet_em"
_EM_EXPECTED = (
    f"the EM labels in {_EM_FOLDER} (musicnet_em.zip of "
    "https://github.com/benadar293/benadar293.github.io)"
)


def plan(source: Path, labels: Labels = "plain", splits: SplitName = "mt3") -> Plan:
    """Plans the corpus: all recordings of the release.

    Args:
        source: the unpacked release; for "em" labels with the folder `musicnet_em` in it.
        labels: "plain" for the labels of the release, "em" for MusicNet-EM.
        splits: "mt3", or "official" for those of the release (which has no validation split).

    Raises:
        CorpusError: if folders are missing, or a recording has two files of audio or labels.
    """
    needed = [f"{half}_{kind}" for half in _FOLDERS for kind in ("data", "labels")]
    MUSICNET.require(source, needed if labels == "plain" else needed[::2])
    find_labels = _plain_labels if labels == "plain" else _em_labels(source)
    listed = SPLITS[splits]
    result = Plan({"train": [], **{split: [] for split in listed}})
    recordings: dict[str, Path] = {}
    for half in _FOLDERS:
        for path in with_suffix_in((source / f"{half}_data").iterdir(), [".wav"]):
            if path.stem in recordings:
                raise CorpusError(path, "each recording once", f"also {recordings[path.stem]}")
            recordings[path.stem] = path
    if not recordings:
        raise MUSICNET.lacks(source, "recordings")
    for id, path in sorted(recordings.items()):
        split = next((name for name, ids in listed.items() if id in ids), "train")
        read_notes = find_labels(path)
        if read_notes is None:
            result.skipped.append(Skip(id, "no labels"))
            continue
        stem = StemReader(functools.partial(read_pcm, path), read_notes)
        result.splits[split].append(RecordingGroup.single(id, stem))
    return result


def read_labels(path: Path) -> Notes:
    """Reads the notes from a CSV file of labels.

    Raises:
        Unusable: if the file is not a label file, or contains an unknown instrument.
        MidiError: if a value is out of range.
    """
    try:
        rows = [_row(row) for row in csv_rows(path)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable("unreadable labels", f"{path.name}: {first_line(error)}") from error
    return labeled_notes(rows)


def _row(row: dict[str, str]) -> tuple[float, float, int, int]:
    program = int(row["instrument"]) - 1  # counted from 1 in the labels
    if not 0 <= program <= 127:
        raise Unusable("unknown instrument")
    onset, offset = (int(row[name]) / LABEL_RATE for name in ("start_time", "end_time"))
    return onset, offset, int(row["note"]), program


def _plain_labels(audio: Path) -> Callable[[], Notes] | None:
    folder = audio.parent.name.replace("_data", "_labels")
    path = audio.parent.parent / folder / f"{audio.stem}.csv"
    return functools.partial(read_labels, path) if path.is_file() else None


def _em_labels(source: Path) -> Callable[[Path], Callable[[], Notes] | None]:
    require_folder(source, _EM_EXPECTED, [_EM_FOLDER])
    files: dict[str, Path] = {}
    # With subfolders, since the archive may be unpacked into one.
    for path in with_suffix_in(files_below(source / _EM_FOLDER)[0], MIDI_SUFFIXES):
        if match := re.match(r"\d{4}", path.name):
            if match[0] in files:
                expected = f"one file of labels for recording {match[0]}"
                raise CorpusError(path, expected, f"also {files[match[0]]}")
            files[match[0]] = path
    if not files:
        raise CorpusError(source / _EM_FOLDER, "MIDI files named by recording", "none")

    def find(audio: Path) -> Callable[[], Notes] | None:
        path = files.get(audio.stem)
        return functools.partial(read_recorded_midi, path) if path else None

    return find
