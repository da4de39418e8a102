"""URMP: chamber pieces whose players were recorded one by one, then mixed.

Li et al., "Creating a Multitrack Classical Music Performance Dataset for Multimodal Music
Analysis". A piece is a folder `NN_Title_CODE_CODE...` with `AuMix_*.wav` and, per player,
`Notes_I_*.txt`. The MIDI file in it is the score, not aligned with the audio, and is not used.
"""

import functools
import math
import re
from pathlib import Path

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import (
    Part,
    Plan,
    Skip,
    Track,
    Unusable,
    labelled_notes,
    read_mono,
    require_folder,
    visible,
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
VALIDATION_PIECES = frozenset({1, 2, 12, 13, 24, 25, 31, 38, 39})

_EXPECTED = "an unpacked URMP release"
_PIECE = re.compile(r"(\d\d)_[^_]+_(.+)")


def plan(source: Path) -> Plan:
    """MT3's splits: nine pieces for validation, the others for training.

    Raises:
        CorpusError: if no piece is found.
    """
    require_folder(source, _EXPECTED, [])
    result = Plan({"train": [], "validation": []})
    pieces = [
        (path, match)
        for path in visible(source.iterdir())
        if path.is_dir()
        and "Supplementary" not in path.name
        and (match := _PIECE.fullmatch(path.name))
    ]
    if not pieces:
        raise CorpusError(source, _EXPECTED, "no NN_Title_instruments folders in it")
    for folder, match in pieces:
        # The folder's name is right where files disagree: those of the trombone in 15_Surprise
        # are named after a trumpet.
        codes = match[2].split("_")
        track = _read_piece(folder, codes)
        if isinstance(track, Skip):
            result.skipped.append(track)
        else:
            is_validation = int(match[1]) in VALIDATION_PIECES
            result.splits["validation" if is_validation else "train"].append(track)
    return result


def read_notes(players: tuple[tuple[Path, int], ...]) -> Notes:
    """The notes of all players of a piece.

    Args:
        players: for each the file of onset [s], frequency [Hz] and duration [s], and the program.

    Raises:
        Unusable: if a file cannot be read.
        MidiError: if a value is out of range.
    """
    rows = []
    for path, program in players:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            notes = [tuple(map(float, line.split())) for line in lines if line.strip()]
            rows += [
                (onset, onset + duration, pitch_of(hertz), program)
                for onset, hertz, duration in notes
            ]
        except (OSError, ValueError) as error:
            raise Unusable("unreadable Notes_*.txt") from error
    return labelled_notes(rows)


def pitch_of(hertz: float) -> int:
    """The MIDI pitch nearest to a frequency.

    Raises:
        ValueError: if it is not above 0.
    """
    return round(69 + 12 * math.log2(hertz / 440))


def _read_piece(folder: Path, codes: list[str]) -> Track | Skip:
    mixes = visible(folder.glob("AuMix_*.wav"))
    if not mixes:
        return Skip(folder.name, "no AuMix_*.wav")
    players = []
    for number, code in enumerate(codes, start=1):
        files = visible(folder.glob(f"Notes_{number}_*.txt"))
        if not files:
            return Skip(folder.name, "no Notes_*.txt of a player")
        if code not in PROGRAMS:
            return Skip(folder.name, "unknown instrument")
        players.append((files[0], PROGRAMS[code]))
    part = Part(
        functools.partial(read_mono, mixes[0]), functools.partial(read_notes, tuple(players))
    )
    return Track.of_one(folder.name, part)
