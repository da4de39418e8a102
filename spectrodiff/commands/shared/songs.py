"""Songs on command lines: found, read and checked, then tokenized."""

import argparse
import logging
import os
from typing import TYPE_CHECKING

from spectrodiff.core.errors import MidiError, printable
from spectrodiff.core.files import local_path, package_folder
from spectrodiff.music.midi.reader import check_length, length, read_midi
from spectrodiff.music.notes import Notes

if TYPE_CHECKING:
    from spectrodiff.music.tokenizer import SongTokens
    from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)


def find_song(text: str) -> str:
    """Returns the path of a song; one that does not exist may be the name of an example.

    The examples come with the package: "greensleeves.mid", or "examples/greensleeves.mid".
    """
    if local_path(text).is_absolute() or os.path.exists(text):
        return text
    example = package_folder("examples") / text.removeprefix("examples/")
    return str(example) if example.is_file() else text


class Songs:
    """Songs of a command line; those that cannot be rendered are left out.

    Args:
        flags: flags of the command; `songs` are the MIDI files.

    Attributes:
        notes: notes of each song that can be rendered, by its place on the command line.
        refused: errors of the others.

    Raises:
        MidiError: if the only song cannot be rendered; with --strict, if any cannot.
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self.notes: dict[int, Notes] = {}
        self.refused: list[MidiError] = []
        for number, name in enumerate(flags.songs):
            try:
                notes = read_midi(name)
                check_song(name, notes, flags)
            except MidiError as error:
                self._leave_out(error)
            else:
                self.notes[number] = notes

    def tokenize(self, synth: "Synthesizer", overlap: int | None = None) -> dict[int, "SongTokens"]:
        """Returns the tokens of the songs that the model can render; logs what is odd in each.

        Args:
            synth: the model.
            overlap: number of frames that segments share; None for the model's own.
        """
        strict, tokens = self._flags.strict, {}
        for number, notes in self.notes.items():
            name = self._flags.songs[number]
            try:
                tokens[number] = synth.tokenize(notes, strict=strict, name=name, overlap=overlap)
            except MidiError as error:
                self._leave_out(error)
            else:
                title = f"{printable(name)}: {length(notes.total_seconds)}"
                logger.info("%s", "; ".join([title, *notes.remarks]))
        return tokens

    def _leave_out(self, error: MidiError) -> None:
        if self._flags.strict or len(self._flags.songs) == 1:
            raise error
        self.refused.append(error)


def check_song(name: str, notes: Notes, flags: argparse.Namespace) -> None:
    """Checks that the flags allow a song.

    Raises:
        MidiError: if the song has no notes, is longer than --max_minutes, or damaged with
            --refuse_damaged.
    """
    if not len(notes):
        raise MidiError(name, "a song with notes", "none")
    if notes.damage and flags.refuse_damaged:
        raise MidiError(name, "a whole MIDI file", f"one whose {notes.damage}")
    check_length(name, notes, flags.max_minutes)
