"""Adaptation of a song to the instruments that a model knows.

A model that was trained on five instruments renders a sixth as anything. So a part that it does not
know gets a known instrument, chosen by `spectrodiff.music.substitution`. Unknown drums are left
out: no other would do.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.music.general_midi import PROGRAM_NAMES, drum_name, enumerate_names, short_names
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import ProgramMap, map_program_numbers
from spectrodiff.music.substitution import Register, choose

# Longer lists are told in part or by their number, so that a line stays a line.
_NAMES_TOLD = 8


class Instruments(Protocol):
    """The instruments a model knows."""

    @property
    def program_map(self) -> ProgramMap:
        """The set of instruments that songs are mapped to before the model sees them."""
        ...

    @property
    def programs(self) -> tuple[int, ...] | None:
        """Known programs of that set; None for all."""
        ...

    @property
    def drums(self) -> tuple[int, ...] | None:
        """Keys of the known drums; None for all."""
        ...


class Replacement(NamedTuple):
    """A part that is played on another instrument.

    Attributes:
        program: the song's General MIDI program.
        played_as: the known program that plays it.
        notes: how many notes it has.
    """

    program: int
    played_as: int
    notes: int


class LeftOutDrum(NamedTuple):
    """A drum that is not played.

    Attributes:
        key: its MIDI key.
        hits: how often the song has it.
    """

    key: int
    hits: int


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """A song as a model can play it.

    Attributes:
        notes: what is to be played; a replaced part has a known program.
        replacements: of all programs that are replaced, in order of their numbers.
        left_out: all drums that are left out, in order of their keys.
        drums_left: whether other drums are left.
    """

    notes: Notes
    replacements: tuple[Replacement, ...]
    left_out: tuple[LeftOutDrum, ...]
    drums_left: bool


def check_instruments(known: Instruments) -> None:
    """Refuses instruments that no model can have.

    Raises:
        ConfigError: if there are no programs, some are not of the set that songs are mapped to, or
            drums are out of range.
    """
    if known.programs is not None:
        mapped = map_program_numbers(np.arange(128), known.program_map)
        strange = set(known.programs) - set(mapped.tolist())
        if strange or not known.programs:
            expected = f"programs of the map {known.program_map!r}, at least one"
            got = ", ".join(map(str, sorted(strange))) or "none"
            raise ConfigError("programs", expected, got)
    strange = {key for key in known.drums or () if not 0 <= key <= 127}
    if strange:
        raise ConfigError("drums", "keys in 0..127", ", ".join(map(str, sorted(strange))))


def adapt(
    notes: Notes, known: Instruments, *, song: str = "song", model: str = "this model"
) -> Adaptation:
    """Puts a song's unknown parts on known instruments and leaves out unknown drums.

    Unknown are the programs whose image under the model's program map it does not know; what plays
    them is chosen by what they are in the song. Onsets, pitches and velocities stay. Where parts
    meet on one instrument, a note ends when the same key is struck again, and notes struck at once
    become one: the longest, as loud as the loudest.

    Args:
        notes: a song.
        known: the model's instruments, as its tokenization has them.
        song: name of the song in the error.
        model: name of the model in the error.

    Raises:
        MidiError: if a song has notes and none of them can be played.
        ConfigError: as `check_instruments` does.
    """
    check_instruments(known)
    notes, left_out = _leave_out_drums(notes, known.drums)
    if left_out and not len(notes):
        raise _nothing_left(left_out, known, song, model)
    notes, replacements = _replace_programs(notes, known)
    return Adaptation(notes, replacements, left_out, bool(notes.is_drum.any()))


def describe(adaptation: Adaptation, known: Instruments, *, song: str, model: str) -> str | None:
    """Says in one line what is played how, and what the model knows; None if nothing changes.

    Args:
        adaptation: what `adapt` made of the song.
        known: the same instruments.
        song: name of the song.
        model: name of the model.
    """
    changes = _played_as(adaptation.replacements, known)
    separator = "; " if len(changes) > 1 else ", "
    if adaptation.left_out and adaptation.drums_left:
        drums = [drum_name(drum.key) for drum in adaptation.left_out]
        changes.append(f"{_some(drums, 'other drums')} left out")
    elif adaptation.left_out:
        changes.append("drums left out")
    if not changes:
        return None
    return f"{song}: {separator.join(changes)} ({model} knows {_known(known)})"


def _leave_out_drums(
    notes: Notes, drums: tuple[int, ...] | None
) -> tuple[Notes, tuple[LeftOutDrum, ...]]:
    if drums is None:
        return notes, ()
    unknown = notes.is_drum & ~np.isin(notes.pitch, drums)
    keys, hits = np.unique(notes.pitch[unknown], return_counts=True)
    left_out = tuple(map(LeftOutDrum, keys.tolist(), hits.tolist()))
    return notes.select(~unknown), left_out


def _nothing_left(
    left_out: Sequence[LeftOutDrum], known: Instruments, song: str, model: str
) -> MidiError:
    if not known.drums:
        return MidiError(song, f"notes other than drums ({model} has no drums)", "only drums")
    names = _some([drum_name(drum.key) for drum in left_out], "other drums")
    return MidiError(song, f"notes, or drums that {model} knows", f"only {names}")


def _replace_programs(notes: Notes, known: Instruments) -> tuple[Notes, tuple[Replacement, ...]]:
    if known.programs is None:
        return notes, ()
    played_by = np.where(notes.is_drum, -1, map_program_numbers(notes.program, known.program_map))
    unknown = ~notes.is_drum & ~np.isin(played_by, known.programs)
    program, replacements = notes.program.copy(), []
    for part in np.unique(notes.program[unknown]).tolist():
        rows = unknown & (notes.program == part)
        played_as = choose(part, find_register(notes.select(rows)), known.programs)
        program[rows] = played_by[rows] = played_as
        replacements.append(Replacement(part, played_as, int(rows.sum())))
    # Where a replaced part has an instrument to itself, its notes meet no other's.
    shared = [
        target
        for target in {replacement.played_as for replacement in replacements}
        if len(np.unique(notes.program[played_by == target])) > 1
    ]
    replaced = dataclasses.replace(notes, program=program)
    return _untangle(replaced, played_by, np.isin(played_by, shared)), tuple(replacements)


def _untangle(notes: Notes, played_by: np.ndarray, rows: np.ndarray) -> Notes:
    """Keeps the keys of an instrument from being struck while they are down.

    Args:
        notes: a song.
        played_by: int [n], equal where the same instrument plays.
        rows: bool [n], the notes to look at.
    """
    chosen = np.flatnonzero(rows)
    columns = (notes.offset_seconds, notes.onset_seconds, notes.pitch, played_by)
    chosen = chosen[np.lexsort([column[chosen] for column in columns])]
    earlier, later = chosen[:-1], chosen[1:]
    same_key = (played_by[earlier] == played_by[later]) & (
        notes.pitch[earlier] == notes.pitch[later]
    )
    next_onset = np.where(same_key, notes.onset_seconds[later], np.inf)
    at_once = notes.onset_seconds[earlier] == next_onset

    offset_seconds, velocity = notes.offset_seconds.copy(), notes.velocity.copy()
    offset_seconds[earlier] = np.minimum(offset_seconds[earlier], next_onset)
    # The last of those that are struck at once is the longest.
    stroke = np.cumsum(np.concatenate([[0], ~at_once]))[: len(chosen)]
    loudest = np.zeros(len(chosen), velocity.dtype)
    np.maximum.at(loudest, stroke, velocity[chosen])
    velocity[chosen] = loudest[stroke]
    kept = np.full(len(notes), True)
    kept[earlier[at_once]] = False
    untangled = dataclasses.replace(notes, offset_seconds=offset_seconds, velocity=velocity)
    return untangled.select(kept)


def find_register(notes: Notes) -> Register:
    """The quartiles of a part's pitches, each as often as it sounds; lower ones of two.

    Args:
        notes: a part, at least one note.
    """
    order = np.argsort(notes.pitch, kind="stable")
    seconds = (notes.offset_seconds - notes.onset_seconds)[order]
    # Notes of no length count where there are no others.
    sounding = np.cumsum(seconds if seconds.any() else np.ones(len(notes)))
    low, high = np.searchsorted(sounding, sounding[-1] * np.array([0.25, 0.75]))
    return Register(int(notes.pitch[order][low]), int(notes.pitch[order][high]))


def _played_as(replacements: Sequence[Replacement], known: Instruments) -> list[str]:
    """Phrases such as "trumpet and clarinet played as flute", then "oboe as strings"."""
    parts: dict[int, list[str]] = {}
    for replacement in replacements:
        name = PROGRAM_NAMES[replacement.program]
        parts.setdefault(replacement.played_as, []).append(name)
    taken = {name for names in parts.values() for name in names}
    short = short_names(known.programs or (), taken)
    phrases: list[str] = []
    for target, names in parts.items():
        verb = "as" if phrases else "played as"
        phrases.append(f"{_some(names, 'other instruments')} {verb} {short[target]}")
    return phrases


def _known(known: Instruments) -> str:
    names = ["all instruments"]
    if known.programs is not None:
        programs = sorted(set(known.programs))
        short = short_names(programs)
        names = _names_or_number([short[program] for program in programs], "instruments")
    if known.drums is None:
        names.append("drums")
    elif known.drums:
        drums = [drum_name(key) for key in sorted(set(known.drums))]
        names += _names_or_number(drums, "drums")
    return enumerate_names(names)


def _names_or_number(names: list[str], noun: str) -> list[str]:
    return names if len(names) <= _NAMES_TOLD else [f"{len(names)} {noun}"]


def _some(names: Sequence[str], others: str) -> str:
    """All names as a phrase, or the first and how many others there are."""
    told = list(names)
    if len(told) > _NAMES_TOLD:
        told[_NAMES_TOLD - 1 :] = [f"{len(told) - _NAMES_TOLD + 1} {others}"]
    return enumerate_names(told)
