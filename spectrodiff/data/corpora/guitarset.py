"""GuitarSet: acoustic guitar by six players, recorded with a microphone and with pickups.

Xi et al., "GuitarSet: A Dataset for Guitar Transcription". The folder contains
`annotation/ID.jams`, `audio_mono-mic/ID_mic.wav` and `audio_mono-pickup_mix/ID_mix.wav`, where ID
is `PLAYER_STYLEn-BPM-KEY_comp` or `..._solo` and n is the chord progression. Both recordings are
used.
"""

import functools
import re
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import first_line
from spectrodiff.core.json_files import json_of
from spectrodiff.data.corpora.folders import visible
from spectrodiff.data.corpora.releases import GUITARSET
from spectrodiff.data.recordings import (
    Plan,
    RecordingGroup,
    Skip,
    StemReader,
    Unusable,
    labeled_notes,
    read_pcm,
)
from spectrodiff.music.notes import Notes

PROGRAM = 24
# The last of the three progressions in each style is for validation (MT3, appendix B).
VALIDATION_PROGRESSION = 3

_AUDIO = {"mic": "audio_mono-mic", "mix": "audio_mono-pickup_mix"}
_ID = re.compile(r"\d\d_[A-Za-z]+(?P<progression>\d)-\d+-[^_]+_(comp|solo)")


def plan(source: Path) -> Plan:
    """Plans the corpus: progressions 1 and 2 of each style for training, 3 for validation.

    Raises:
        CorpusError: if the folder is not a GuitarSet release.
    """
    GUITARSET.require(source, ["annotation", *_AUDIO.values()])
    result = Plan({"train": [], "validation": []})
    annotations = visible((source / "annotation").glob("*.jams"))
    if not annotations:
        raise GUITARSET.lacks(source / "annotation", ".jams files")
    for annotation in annotations:
        match = _ID.fullmatch(annotation.stem)
        if not match:
            result.skipped.append(Skip(annotation.stem, "file name without a progression"))
            continue
        is_validation = int(match["progression"]) == VALIDATION_PROGRESSION
        for suffix, folder in _AUDIO.items():
            id = f"{annotation.stem}_{suffix}"
            stem = StemReader(
                functools.partial(read_pcm, source / folder / f"{id}.wav"),
                functools.partial(read_annotation, annotation),
            )
            result.splits["validation" if is_validation else "train"].append(
                RecordingGroup.single(id, stem)
            )
    return result


def read_annotation(path: Path) -> Notes:
    """Reads the notes of all six strings from a JAMS file; pitches are rounded to semitones.

    Raises:
        Unusable: if the file has no note annotations or is not JAMS.
        MidiError: if a value is out of range.
    """
    try:
        annotations = json_of(path)["annotations"]
        strings = [entry["data"] for entry in annotations if entry["namespace"] == "note_midi"]
        rows = [_row(note) for string in strings for note in string]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable("unreadable annotation", f"{path.name}: {first_line(error)}") from error
    if not strings:
        raise Unusable("no note_midi in the annotation")
    return labeled_notes(rows)


def _row(note: dict[str, Any]) -> tuple[float, float, int, int]:
    onset = float(note["time"])
    return onset, onset + float(note["duration"]), round(float(note["value"])), PROGRAM
