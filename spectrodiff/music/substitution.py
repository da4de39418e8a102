"""Choice of a known instrument to play the part of one that a model does not know.

The rules, the weightiest first:

1. Not far out of reach: the part's register, the middle half of its sounding time, reaches at most
   half an octave out of the compass of the instrument that plays it, or else as little as possible.
2. What dies away by itself (plucked, struck) stays so, and what is held (bowed, blown) stays so.
3. Of the same kind, which is mostly the family of General MIDI: one whose compass holds the
   register, then the next in number.
4. Of other kinds: one whose compass holds the register, then the most akin as `_KINDS` has them,
   then the one with the register nearest to the middle of its compass.
"""

from collections.abc import Iterable
from typing import NamedTuple

from spectrodiff.music.instruments import instrument

FAR_SEMITONES = 6


class Register(NamedTuple):
    """MIDI pitches between which a part sounds half of its time, a quarter below, a quarter above.

    Attributes:
        low: the lower one.
        high: the upper one, not below the other.
    """

    low: int
    high: int


def choose(program: int, register: Register, programs: Iterable[int]) -> int:
    """The known program that plays a part by the rules of this module.

    Args:
        program: the part's General MIDI program, 0..127.
        register: where the part lies.
        programs: known programs, at least one.
    """
    kind = _kind(program)

    def unfitness(other: int) -> tuple[float, ...]:
        others_kind, compass = _kind(other), instrument(other)
        outside = max(compass.low - register.low, register.high - compass.high, 0)
        far = outside if outside > FAR_SEMITONES else 0
        order = (far, _KINDS[kind].decays != _KINDS[others_kind].decays)
        if others_kind == kind:
            return (*order, 0, outside > 0, abs(other - program), other)
        akin = _KINDS[kind].akin
        distance = akin.index(others_kind) if others_kind in akin else len(akin)
        off_centre = abs(sum(register) - (compass.low + compass.high)) / 2
        return (*order, 1, outside > 0, distance, off_centre, other)

    return min(programs, key=unfitness)


class _Kind(NamedTuple):
    """A kind of instruments.

    Attributes:
        decays: whether a note dies away by itself.
        akin: kinds to take instead, the most akin first.
    """

    decays: bool
    akin: tuple[str, ...]


_KINDS = {
    "piano": _Kind(True, ("mallets", "plucked", "guitar")),
    "mallets": _Kind(True, ("piano", "plucked", "guitar")),
    "guitar": _Kind(True, ("plucked", "piano", "mallets")),
    "bass": _Kind(True, ("guitar", "piano", "plucked")),
    "plucked": _Kind(True, ("guitar", "piano", "mallets")),
    "drum": _Kind(True, ("bass", "piano", "mallets", "plucked")),
    "hit": _Kind(True, ("piano", "mallets", "plucked", "guitar", "brass section", "strings")),
    "organ": _Kind(False, ("pad", "strings", "choir", "brass section", "reed", "lead", "pipe")),
    "bowed": _Kind(False, ("strings", "reed", "pipe", "choir", "pad", "lead", "organ")),
    "strings": _Kind(False, ("bowed", "choir", "pad", "brass section", "organ", "reed")),
    "choir": _Kind(False, ("strings", "pad", "organ", "pipe", "reed", "brass section")),
    "brass": _Kind(False, ("brass section", "reed", "pipe", "bowed", "strings", "lead", "organ")),
    "brass section": _Kind(False, ("brass", "strings", "organ", "reed", "pad", "choir", "pipe")),
    "reed": _Kind(False, ("pipe", "brass", "bowed", "lead", "strings", "organ", "brass section")),
    "pipe": _Kind(False, ("reed", "bowed", "lead", "brass", "choir", "strings", "organ")),
    "lead": _Kind(False, ("pipe", "reed", "brass", "bowed", "organ", "strings", "pad")),
    "pad": _Kind(False, ("strings", "choir", "organ", "brass section", "lead", "bowed")),
    "noise": _Kind(False, ("pad", "strings", "choir", "organ")),
}
# By the first program of a run. The families of General MIDI, but for those that mix what is held
# with what dies away: strings, ensembles, synthesizer effects, folk instruments, percussion.
_RUNS = {
    0: "piano",
    8: "mallets",
    16: "organ",
    24: "guitar",
    32: "bass",
    40: "bowed",
    44: "strings",  # tremolo
    45: "plucked",  # pizzicato, harp
    47: "drum",  # timpani
    48: "strings",
    52: "choir",
    55: "hit",
    56: "brass",
    61: "brass section",
    64: "reed",
    72: "pipe",
    80: "lead",
    88: "pad",
    98: "mallets",  # the crystal effect
    99: "pad",
    104: "plucked",
    109: "reed",  # bagpipe
    110: "bowed",  # fiddle
    111: "reed",  # shanai
    112: "mallets",  # tinkle bell
    113: "drum",
    114: "mallets",  # steel drums
    115: "drum",
    119: "noise",
}


def _kind(program: int) -> str:
    return _RUNS[max(first for first in _RUNS if first <= program)]
