"""URMP: chamber music with separately recorded, then mixed players.

Li et al., "Creating a Multitrack Classical Music Performance Dataset for Multimodal Music
Analysis". Each recording is a folder `NN_Title_CODE_CODE...` with `AuMix_*.wav` and
`Notes_I_*.txt` for each player. Its MIDI file is not used, since the score is not aligned with the
audio.
"""

import functools
import math
import re
from pathlib import Path

from spectrodiff.core.errors import first_line
from spectrodiff.core.json_files import text_of
from spectrodiff.data.corpora.folders import visible, with_suffix_in
from spectrodiff.data.corpora.releases import URMP
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

# General MIDI programs, counted from 0 (MT3, appendix B).
PROGRAMS = {
    "vn": 40,
    "va": 41,
    "vc": 42,
    "db": 43,
    "tpt": 56,
    "tbn": 57,
    "tba": 58,
    "hn": 60,
    "sax": 64,
    "ob": 68,
    "bn": 70,
    "cl": 71,
    "fl": 73,
}
VALIDATION_NUMBERS = frozenset({1, 2, 12, 13, 24, 25, 31, 38, 39})

_FOLDER_NAME = re.compile(r"(\d\d)_[^_]+_(.+)")


def plan(source: Path) -> Plan:
    """Plans the corpus with the splits of MT3: nine recordings for validation.

    Raises:
        CorpusError: if there are no recordings.
    """
    URMP.require(source)
    result = Plan({"train": [], "validation": []})
    folders = [
        (path, match)
        for path in visible(source.iterdir())
        if path.is_dir()
        and "Supplementary" not in path.name
        and (match := _FOLDER_NAME.fullmatch(path.name))
    ]
    if not folders:
        raise URMP.lacks(source, "NN_Title_instruments folders")
    for folder, match in folders:
        # Instruments are taken from the folder name, since some file names are wrong: those of the
        # trombone in 15_Surprise name a trumpet.
        codes = match[2].split("_")
        group = _plan_recording(folder, codes)
        if isinstance(group, Skip):
            result.skipped.append(group)
        else:
            is_validation = int(match[1]) in VALIDATION_NUMBERS
            result.splits["validation" if is_validation else "train"].append(group)
    return result


def read_notes(players: tuple[tuple[Path, int], ...]) -> Notes:
    """Reads the notes of all players of a recording.

    Args:
        players: file with onsets [s], frequencies [Hz] and durations [s], and program of each.

    Raises:
        Unusable: if a file cannot be read.
        MidiError: if a value is out of range.
    """
    rows = []
    for path, program in players:
        try:
            lines = text_of(path).splitlines()
            notes = [tuple(map(float, line.split())) for line in lines if line.strip()]
            rows += [
                (onset, onset + duration, pitch_of(hertz), program)
                for onset, hertz, duration in notes
            ]
        except (OSError, ValueError) as error:
            raise Unusable("unreadable Notes_*.txt", f"{path.name}: {first_line(error)}") from error
    return labeled_notes(rows)


def pitch_of(hertz: float) -> int:
    """Returns the MIDI pitch nearest to a frequency.

    Raises:
        ValueError: if the frequency is not above 0.
    """
    return round(69 + 12 * math.log2(hertz / 440))


def _plan_recording(folder: Path, codes: list[str]) -> RecordingGroup | Skip:
    mixes = with_suffix_in(folder.glob("AuMix_*"), [".wav"])
    if not mixes:
        return Skip(folder.name, "no AuMix_*.wav")
    if len(mixes) > 1:
        return Skip(folder.name, "several AuMix_*.wav")
    players = []
    for number, code in enumerate(codes, start=1):
        files = with_suffix_in(folder.glob(f"Notes_{number}_*"), [".txt"])
        if not files:
            return Skip(folder.name, "no Notes_*.txt of a player")
        if len(files) > 1:
            return Skip(folder.name, "several Notes_*.txt of a player")
        if code not in PROGRAMS:
            return Skip(folder.name, "unknown instrument")
        players.append((files[0], PROGRAMS[code]))
    stem = StemReader(
        functools.partial(read_pcm, mixes[0]), functools.partial(read_notes, tuple(players))
    )
    return RecordingGroup.single(folder.name, stem)
