"""Settings that decide which tokens stand for a song; every model carries its own."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self, get_args

import numpy as np

from spectrodiff.core.config import check_types, require
from spectrodiff.music.events import SongEvents, index_notes
from spectrodiff.music.known_instruments import check_instruments
from spectrodiff.music.notes import Notes, trim_overlaps
from spectrodiff.music.programs import ProgramMap, map_program_numbers
from spectrodiff.music.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Tokenization:
    """Settings that decide which tokens stand for notes; the defaults are the released models'.

    Attributes:
        velocity_bins: V of the vocabulary, 1..127; 1 tells only on from off.
        ties: whether segments open with a list of the notes that are already sounding.
        program_map: the set of instruments that programs are reduced to: "slakh" takes the nearest
            class of Slakh that is not above, which suits songs from anywhere; "full" keeps all 128
            apart, for corpora whose programs say what plays; see `programs.map_program_numbers`.
        programs: the programs that the model knows, after `program_map`; None for all of them.
            Others are played on these (see `known_instruments.adapt`).
        drums: the drum keys that the model knows; None for all, () for none. Others are left out.
        trim_overlaps: whether a note ends where the same pitch is played again.
    """

    velocity_bins: int = 1
    ties: bool = True
    program_map: ProgramMap = "slakh"
    programs: tuple[int, ...] | None = None
    drums: tuple[int, ...] | None = None
    trim_overlaps: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        Vocabulary(self.velocity_bins)  # refuses an impossible number
        check_instruments(self)

    def but(self, changes: Mapping[str, Any]) -> Self:
        """The same with some fields changed; under another map, known programs are mapped too.

        Raises:
            ConfigError: if there is no such field, a value is impossible, or the vocabulary would
                be another one, which a trained model cannot read.
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
        """The ids of events."""
        return Vocabulary(self.velocity_bins)

    def index(self, notes: Notes) -> SongEvents:
        """Puts the onsets and offsets of notes in order, ready to be cut into segments."""
        if self.trim_overlaps:
            notes = trim_overlaps(notes)
        return index_notes(notes, self.vocabulary, ties=self.ties, program_map=self.program_map)


RELEASED_TOKENIZATION = Tokenization()
