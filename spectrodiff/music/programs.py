"""Maps from General MIDI programs to smaller sets of instruments."""

from typing import Literal

import numpy as np

ProgramMap = Literal["full", "midi_class", "flat", "slakh"]

# Instrument classes of Slakh2100 by General MIDI program, counted from 0.
SLAKH_CLASSES: dict[int, str] = {
    0: "Acoustic Piano",
    4: "Electric Piano",
    8: "Chromatic Percussion",
    16: "Organ",
    24: "Acoustic Guitar",
    26: "Clean Electric Guitar",
    29: "Distorted Electric Guitar",
    32: "Acoustic Bass",
    33: "Electric Bass",
    40: "Violin",
    41: "Viola",
    42: "Cello",
    43: "Contrabass",
    46: "Orchestral Harp",
    47: "Timpani",
    48: "String Ensemble",
    50: "Synth Strings",
    52: "Choir and Voice",
    55: "Orchestral Hit",
    56: "Trumpet",
    57: "Trombone",
    58: "Tuba",
    60: "French Horn",
    61: "Brass Section",
    64: "Soprano/Alto Sax",
    66: "Tenor Sax",
    67: "Baritone Sax",
    68: "Oboe",
    69: "English Horn",
    70: "Bassoon",
    71: "Clarinet",
    73: "Pipe",
    80: "Synth Lead",
    88: "Synth Pad",
}

_SLAKH_PROGRAMS = np.array(sorted(SLAKH_CLASSES), np.int32)
_FAMILY_PROGRAMS = 8  # General MIDI has sixteen families of eight programs.


def map_program_numbers(programs: np.ndarray, program_map: ProgramMap) -> np.ndarray:
    """Maps program numbers to a smaller set of instruments.

    Args:
        programs: int [...], each 0..127.
        program_map: "full" keeps all 128; "midi_class" maps to the first program of the family of
            eight; "flat" maps to 0; "slakh" maps to the largest Slakh class program that is not
            above the given one, as the released models were trained.

    Returns:
        int32 [...].

    Raises:
        ValueError: if there is no such map.
    """
    programs = np.asarray(programs, np.int32)
    match program_map:
        case "full":
            return programs
        case "midi_class":
            return programs // _FAMILY_PROGRAMS * _FAMILY_PROGRAMS
        case "flat":
            return np.zeros_like(programs)
        case "slakh":
            return _SLAKH_PROGRAMS[np.searchsorted(_SLAKH_PROGRAMS, programs, side="right") - 1]
    raise ValueError(f"unknown program map {program_map!r}")
