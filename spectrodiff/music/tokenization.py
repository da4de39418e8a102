"""Tokenization settings; each model stores its own."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self, get_args

import numpy as np

from spectrodiff.core.config import check_types, require
from spectrodiff.music.events import SongEvents, index_notes, index_onsets
from spectrodiff.music.known_instruments import check_instruments
from spectrodiff.music.notes import Notes, trim_overlaps
from spectrodiff.music.programs import ProgramMap, map_program_numbers
from spectrodiff.music.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Tokenization:
    """Settings that determine how notes become tokens; defaults are those of the released models.

    Attributes:
        velocity_bins: V of the vocabulary, 1..127; 1 distinguishes only note-on from note-off.
        ties: whether segments start with a tie section, which lists the notes already sounding.
        program_map: set of instruments that programs are reduced to: "slakh" for the Slakh classes,
            suitable for songs from any source; "full" for all 128, for corpora with reliable
            programs; see `programs.map_program_numbers`.
        programs: known programs, after `program_map`; None for all. Unknown programs are replaced
            by known ones (see `known_instruments.adapt`).
        drums: known drum keys; None for all, () for none. Unknown drums are left out.
        trim_overlaps: whether a note ends at the next onset of the same pitch and program.
        onsets_only: whether tokens state only when and at which pitch notes and drums start, as in
            an ablation of the released code; without ties.

    Raises:
        ConfigError: if a value is invalid.
    """

    velocity_bins: int = 1
    ties: bool = True
    program_map: ProgramMap = "slakh"
    programs: tuple[int, ...] | None = None
    drums: tuple[int, ...] | None = None
    trim_overlaps: bool = False
    onsets_only: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        Vocabulary(self.velocity_bins)  # checks the number of bins
        check_instruments(self)
        without_ties = not (self.onsets_only and self.ties)
        require(without_ties, "Tokenization.ties", "False with onsets_only", self.ties)

    def but(self, changes: Mapping[str, Any]) -> Self:
        """Returns a copy with changed fields; a new program map is applied to `programs` too.

        Args:
            changes: new values of fields, by name.

        Raises:
            ConfigError: if there is no such field, a value is invalid, or the vocabulary would
                change, which a trained model cannot handle.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            require(name in names, "Tokenization", f"one of {', '.join(names)}", name)
        program_map = changes.get("program_map", self.program_map)
        maps = get_args(ProgramMap)
        expected = f"one of {', '.join(map(repr, maps))}"
        require(program_map in maps, "Tokenization.program_map", expected, program_map)
        bins = changes.get("velocity_bins", self.velocity_bins)
        expected = f"{self.velocity_bins}, as the model was trained"
        require(bins == self.velocity_bins, "Tokenization.velocity_bins", expected, bins)
        if self.programs is not None and "program_map" in changes and "programs" not in changes:
            mapped = map_program_numbers(np.array(self.programs, int), changes["program_map"])
            changes = {**changes, "programs": tuple(np.unique(mapped).tolist())}
        return dataclasses.replace(self, **changes)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary with the number of velocity bins."""
        return Vocabulary(self.velocity_bins)

    def heard(self, notes: Notes) -> Notes:
        """Returns notes that end where the model hears them end."""
        return trim_overlaps(notes) if self.trim_overlaps else notes

    def index(self, notes: Notes) -> SongEvents:
        """Sorts the onsets and offsets of notes for the tokenization of segments."""
        notes = self.heard(notes)
        if self.onsets_only:
            return index_onsets(notes, self.vocabulary)
        return index_notes(notes, self.vocabulary, ties=self.ties, program_map=self.program_map)


RELEASED_TOKENIZATION = Tokenization()
"""Tokenization of the released models."""
