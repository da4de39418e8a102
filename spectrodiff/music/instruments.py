"""Pitch range, polyphony and musical roles of each instrument class."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

OCTAVE = 12

Role = Literal["melody", "chords", "arpeggio", "pad", "bass"]


class Instrument(NamedTuple):
    """Properties of an instrument that matter for composing and for substitution.

    Attributes:
        low: lowest MIDI pitch of its range.
        high: highest MIDI pitch of its range.
        voices: maximum number of simultaneous notes.
        roles: suitable roles in an ensemble, the most suitable first.
        rings: whether notes decay by themselves, so that they may ring on.
    """

    low: int
    high: int
    voices: int
    roles: tuple[Role, ...]
    rings: bool = False


def instrument(program: int) -> Instrument:
    """Returns the properties of a General MIDI program: those of its Slakh class."""
    return _INSTRUMENTS[max(first for first in _INSTRUMENTS if first <= program)]


def playable(programs: Sequence[int], pitch_range: tuple[int, int]) -> list[int]:
    """Returns the programs whose pitch range overlaps another range by at least an octave."""
    least, most = pitch_range
    return [
        program
        for program in dict.fromkeys(programs)
        if min(instrument(program).high, most) - max(instrument(program).low, least) >= OCTAVE
    ]


_KEYS: tuple[Role, ...] = ("chords", "melody", "arpeggio", "pad", "bass")
_PLUCKED: tuple[Role, ...] = ("arpeggio", "chords", "melody")
_BASS: tuple[Role, ...] = ("bass",)
_WIND: tuple[Role, ...] = ("melody",)
_LOW_WIND: tuple[Role, ...] = ("bass", "melody")
_SECTION: tuple[Role, ...] = ("pad", "melody", "chords")

# Comfortable ranges from orchestration manuals, limited to the samples of FluidR3 GM. For the names
# of the programs see programs.SLAKH_CLASSES.
_INSTRUMENTS = {
    0: Instrument(21, 108, 10, _KEYS, rings=True),
    4: Instrument(28, 103, 8, _KEYS, rings=True),
    8: Instrument(60, 96, 4, ("melody", "arpeggio", "chords"), rings=True),
    16: Instrument(36, 96, 8, _KEYS),
    24: Instrument(40, 84, 6, _PLUCKED, rings=True),
    26: Instrument(40, 86, 6, _PLUCKED, rings=True),
    29: Instrument(40, 86, 4, ("melody", "chords", "arpeggio")),
    32: Instrument(28, 60, 1, _BASS, rings=True),
    33: Instrument(28, 62, 1, _BASS),
    40: Instrument(55, 93, 2, _WIND),
    41: Instrument(48, 88, 2, _WIND),
    42: Instrument(36, 79, 2, ("melody", "bass")),
    43: Instrument(28, 57, 1, _LOW_WIND),
    46: Instrument(24, 103, 8, ("arpeggio", "chords", "melody"), rings=True),
    47: Instrument(36, 57, 1, _BASS, rings=True),
    48: Instrument(28, 96, 6, _SECTION),
    50: Instrument(36, 96, 6, _SECTION),
    52: Instrument(40, 84, 5, _SECTION),
    55: Instrument(48, 72, 1, ("chords", "melody"), rings=True),
    56: Instrument(54, 86, 1, _WIND),
    57: Instrument(40, 72, 1, ("melody", "bass")),
    58: Instrument(28, 58, 1, _LOW_WIND),
    60: Instrument(41, 77, 2, ("melody", "pad")),
    61: Instrument(36, 84, 5, ("chords", "pad", "melody")),
    64: Instrument(49, 87, 1, _WIND),
    66: Instrument(44, 76, 1, _WIND),
    67: Instrument(36, 69, 1, _LOW_WIND),
    68: Instrument(58, 91, 1, _WIND),
    69: Instrument(52, 81, 1, _WIND),
    70: Instrument(34, 72, 1, _LOW_WIND),
    71: Instrument(50, 91, 1, _WIND),
    73: Instrument(60, 96, 1, _WIND),
    80: Instrument(40, 96, 1, ("melody", "arpeggio", "bass")),
    88: Instrument(36, 88, 6, ("pad", "chords")),
}
