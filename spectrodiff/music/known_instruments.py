"""Adaptation of a song to the instruments that a model knows.

The output of a model for an instrument that is not in its training data is arbitrary. Therefore
unknown programs are replaced by known ones, chosen by `spectrodiff.music.substitution`. Unknown
drums are left out, since no other drum is a suitable replacement.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.music.general_midi import PROGRAM_NAMES, drum_name, enumerate_names, short_names
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import ProgramMap, map_program_numbers
from spectrodiff.music.substitution import Register, choose

# Maximum number of names in a message; longer lists are abbreviated.
_MAX_NAMES = 8


class Instruments(Protocol):
    """Instruments that a model knows; `Tokenization` is one implementation."""

    @property
    def program_map(self) -> ProgramMap:
        """Map applied to the programs of songs before tokenization."""
        ...

    @property
    def programs(self) -> tuple[int, ...] | None:
        """Known programs, after `program_map`; None for all."""
        ...

    @property
    def drums(self) -> tuple[int, ...] | None:
        """Keys of the known drums; None for all."""
        ...


class Replacement(NamedTuple):
    """Program of a song that is replaced by a known one.

    Attributes:
        program: General MIDI program of the song.
        replaced_by: known program.
        notes: number of its notes.
    """

    program: int
    replaced_by: int
    notes: int


class LeftOutDrum(NamedTuple):
    """Drum of a song that is left out.

    Attributes:
        key: MIDI key of the drum.
        hits: number of its notes.
    """

    key: int
    hits: int


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """Song adapted to the instruments of a model, and the changes made.

    Attributes:
        notes: adapted notes, with known programs and drums only.
        replacements: replaced programs, sorted by program.
        left_out: drums left out, sorted by key.
        has_drums: whether the adapted notes contain drums.
    """

    notes: Notes
    replacements: tuple[Replacement, ...]
    left_out: tuple[LeftOutDrum, ...]
    has_drums: bool


def check_instruments(known: Instruments) -> None:
    """Validates the instruments of a model.

    Raises:
        ConfigError: if there are no programs, a program is not in the image of the program map, or
            a drum key is out of range.
    """
    if known.programs is not None:
        mapped = map_program_numbers(np.arange(128), known.program_map)
        invalid = set(known.programs) - set(mapped.tolist())
        if invalid or not known.programs:
            expected = f"programs of the map {known.program_map!r}, at least one"
            got = ", ".join(map(str, sorted(invalid))) or "none"
            raise ConfigError("programs", expected, got)
    invalid = {key for key in known.drums or () if not 0 <= key <= 127}
    if invalid:
        raise ConfigError("drums", "keys in 0..127", ", ".join(map(str, sorted(invalid))))


def adapt(
    notes: Notes,
    known: Instruments,
    *,
    chosen: Mapping[int, int] | None = None,
    strict: bool = True,
    song: str = "song",
    model: str = "this model",
) -> Adaptation:
    """Replaces unknown programs by known ones and leaves out unknown drums.

    A program is unknown if the model does not know its image under the program map. Replacements
    depend on the program before mapping. Onsets, pitches and velocities are kept. Where several
    parts are mapped to one instrument, a note ends at the next onset of the same pitch, and notes
    with the same onset and pitch become one, with the latest offset and the highest velocity.

    Args:
        notes: the song.
        known: instruments of the model, usually its tokenization.
        chosen: replacements, by program, that were chosen before, from other notes of the song;
            only for programs that are not among them one is chosen.
        strict: whether a song without any notes left is an error.
        song: name of the song in errors.
        model: name of the model in errors.

    Raises:
        MidiError: if `strict`, and the song has notes and none is left.
        ConfigError: see `check_instruments`.
    """
    check_instruments(known)
    notes, left_out = _leave_out_drums(notes, known.drums)
    if strict and left_out and not len(notes):
        raise _nothing_left(left_out, known, song, model)
    notes, replacements = _replace_programs(notes, known, chosen or {})
    return Adaptation(notes, replacements, left_out, bool(notes.is_drum.any()))


def describe(adaptation: Adaptation, known: Instruments, *, song: str, model: str) -> str | None:
    """Describes an adaptation and the known instruments in one line; None without changes.

    Args:
        adaptation: result of `adapt`.
        known: instruments of the model.
        song: name of the song.
        model: name of the model.
    """
    changes = describe_changes(adaptation, known)
    if not changes:
        return None
    targets = {replacement.replaced_by for replacement in adaptation.replacements}
    separator = "; " if len(targets) > 1 else ", "
    return f"{song}: {separator.join(changes)} ({model} knows {describe_known(known)})"


def describe_changes(adaptation: Adaptation, known: Instruments) -> list[str]:
    """Describes an adaptation in phrases, such as "trumpet replaced by flute".

    Args:
        adaptation: result of `adapt`.
        known: instruments of the model.
    """
    changes = _describe_replacements(adaptation.replacements, known)
    if adaptation.left_out and adaptation.has_drums:
        drums = [drum_name(drum.key) for drum in adaptation.left_out]
        changes.append(f"{_abbreviated(drums, 'other drums')} left out")
    elif adaptation.left_out:
        changes.append("drums left out")
    return changes


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
    names = _abbreviated([drum_name(drum.key) for drum in left_out], "other drums")
    return MidiError(song, f"notes, or drums that {model} knows", f"only {names}")


def _replace_programs(
    notes: Notes, known: Instruments, chosen: Mapping[int, int]
) -> tuple[Notes, tuple[Replacement, ...]]:
    if known.programs is None:
        return notes, ()
    target = np.where(notes.is_drum, -1, map_program_numbers(notes.program, known.program_map))
    unknown = ~notes.is_drum & ~np.isin(target, known.programs)
    program, replacements = notes.program.copy(), []
    for part in np.unique(notes.program[unknown]).tolist():
        rows = unknown & (notes.program == part)
        replaced_by = chosen.get(part)
        if replaced_by is None:
            replaced_by = choose(part, find_register(notes.select(rows)), known.programs)
        program[rows] = target[rows] = replaced_by
        replacements.append(Replacement(part, replaced_by, int(rows.sum())))
    # Only instruments that now hold several parts can have conflicting notes.
    shared = [
        known_program
        for known_program in {replacement.replaced_by for replacement in replacements}
        if len(np.unique(notes.program[target == known_program])) > 1
    ]
    replaced = dataclasses.replace(notes, program=program)
    return _merge_parts(replaced, target, np.isin(target, shared)), tuple(replacements)


def _merge_parts(notes: Notes, target: np.ndarray, rows: np.ndarray) -> Notes:
    """Ends notes at the next onset of the same pitch and merges simultaneous ones.

    Args:
        notes: the song.
        target: int [n], the program that each note is rendered with.
        rows: bool [n], the notes to process.
    """
    chosen = np.flatnonzero(rows)
    columns = (notes.offset_seconds, notes.onset_seconds, notes.pitch, target)
    chosen = chosen[np.lexsort([column[chosen] for column in columns])]
    earlier, later = chosen[:-1], chosen[1:]
    same_key = (target[earlier] == target[later]) & (notes.pitch[earlier] == notes.pitch[later])
    next_onset = np.where(same_key, notes.onset_seconds[later], np.inf)
    simultaneous = notes.onset_seconds[earlier] == next_onset

    offset_seconds, velocity = notes.offset_seconds.copy(), notes.velocity.copy()
    offset_seconds[earlier] = np.minimum(offset_seconds[earlier], next_onset)
    # Of simultaneous notes the last one, which has the latest offset, is kept.
    group = np.cumsum(np.concatenate([[0], ~simultaneous]))[: len(chosen)]
    loudest = np.zeros(len(chosen), velocity.dtype)
    np.maximum.at(loudest, group, velocity[chosen])
    velocity[chosen] = loudest[group]
    kept = np.full(len(notes), True)
    kept[earlier[simultaneous]] = False
    merged = dataclasses.replace(notes, offset_seconds=offset_seconds, velocity=velocity)
    return merged.select(kept)


def find_register(notes: Notes) -> Register:
    """Returns the quartiles of a part's pitches, weighted by duration.

    Args:
        notes: the part, at least one note.
    """
    order = np.argsort(notes.pitch, kind="stable")
    seconds = (notes.offset_seconds - notes.onset_seconds)[order]
    # Equal weights if no note has a duration.
    sounding = np.cumsum(seconds if seconds.any() else np.ones(len(notes)))
    low, high = np.searchsorted(sounding, sounding[-1] * np.array([0.25, 0.75]))
    return Register(int(notes.pitch[order][low]), int(notes.pitch[order][high]))


def _describe_replacements(replacements: Sequence[Replacement], known: Instruments) -> list[str]:
    """Returns phrases such as "trumpet and clarinet replaced by flute", then "oboe by strings"."""
    parts: dict[int, list[str]] = {}
    for replacement in replacements:
        name = PROGRAM_NAMES[replacement.program]
        parts.setdefault(replacement.replaced_by, []).append(name)
    taken = {name for names in parts.values() for name in names}
    short = short_names(known.programs or (), taken)
    phrases: list[str] = []
    for target, names in parts.items():
        verb = "by" if phrases else "replaced by"
        phrases.append(f"{_abbreviated(names, 'other instruments')} {verb} {short[target]}")
    return phrases


def describe_known(known: Instruments) -> str:
    """Returns the instruments that a model knows as a phrase, "piano, flute and drums"."""
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
    return names if len(names) <= _MAX_NAMES else [f"{len(names)} {noun}"]


def _abbreviated(names: Sequence[str], others: str) -> str:
    """Joins names to a phrase; of long lists, the first names and the number of others."""
    shown = list(names)
    if len(shown) > _MAX_NAMES:
        shown[_MAX_NAMES - 1 :] = [f"{len(shown) - _MAX_NAMES + 1} {others}"]
    return enumerate_names(shown)
