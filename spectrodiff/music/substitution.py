"""Choice of a known instrument to replace one that a model does not know.

Criteria in order of priority:

1. Pitch range: the part's register (the middle half of its sounding time) exceeds the range of the
   replacement by at most half an octave, or else by as little as possible.
2. Decay: decaying notes (plucked, struck) stay decaying, sustained ones (bowed, blown) sustained.
3. Same kind (mostly the General MIDI family): an instrument whose range contains the register, then
   the nearest program number.
4. Other kinds: an instrument whose range contains the register, then the most similar kind in the
   order of `_KINDS`, then the one whose range is centered nearest to the register.
"""

from collections.abc import Iterable
from typing import NamedTuple

from spectrodiff.music.instruments import instrument

FAR_SEMITONES = 6


class Register(NamedTuple):
    """Quartiles of a part's MIDI pitches, weighted by duration.

    Attributes:
        low: first quartile.
        high: third quartile, not below `low`.
    """

    low: int
    high: int


def choose(program: int, register: Register, programs: Iterable[int]) -> int:
    """Returns the known program that replaces a part's own, by the criteria of this module.

    Args:
        program: the part's General MIDI program, 0..127.
        register: the part's register.
        programs: known programs, at least one.
    """
    kind = _kind(program)

    def unfitness(other: int) -> tuple[float, ...]:
        others_kind, candidate = _kind(other), instrument(other)
        outside = max(candidate.low - register.low, register.high - candidate.high, 0)
        far = outside if outside > FAR_SEMITONES else 0
        order = (far, _KINDS[kind].decays != _KINDS[others_kind].decays)
        if others_kind == kind:
            return (*order, 0, outside > 0, abs(other - program), other)
        similar = _KINDS[kind].similar
        distance = similar.index(others_kind) if others_kind in similar else len(similar)
        off_center = abs(sum(register) - (candidate.low + candidate.high)) / 2
        return (*order, 1, outside > 0, distance, off_center, other)

    return min(programs, key=unfitness)


class _Kind(NamedTuple):
    """Group of instruments with a similar sound.

    Attributes:
        decays: whether notes decay by themselves.
        similar: kinds that can replace it, the most similar first.
    """

    decays: bool
    similar: tuple[str, ...]


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
# Kinds by the first program of each run: the General MIDI families, except those that mix sustained
# and decaying instruments: strings, ensembles, synthesizer effects, folk instruments, percussion.
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
