"""Command `inspect`: what is in a MIDI file, without rendering it."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.core.errors import MidiError, printable
from spectrodiff.music.general_midi import PROGRAM_NAMES, drum_name
from spectrodiff.music.midi.reader import MidiSong, length, read_midi_song

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Describes the files on the command line; returns 1 if one cannot be read, else 0."""
    parser = Parser(
        prog=usage_name("inspect"),
        description="Describes MIDI files: duration, tempo, instruments, what is odd in the file, "
        "and what a rendering would miss.",
    )
    parser.add_argument("songs", nargs="+", metavar="SONG.mid", help="MIDI files")
    flags = parser.parse_args(arguments)
    refused = 0
    for name in flags.songs:
        try:
            song = read_midi_song(name)
        except MidiError as error:
            if len(flags.songs) == 1:
                raise
            logger.error("%s", error)
            refused += 1
        else:
            print(printable(name))
            for title, text in describe(song):
                print(f"  {title:12}{text}")
    return min(refused, 1)


def describe(song: MidiSong) -> Iterator[tuple[str, str]]:
    """Yields the lines of a description: a title, empty in further lines, and a text."""
    notes = song.notes
    yield "duration", length(notes.total_seconds)
    yield "tempo", describe_tempo([tempo for _, tempo in song.tempos])
    yield "notes", str(len(notes))
    pitched = Counter(notes.program[~notes.is_drum].tolist())
    drums = Counter(notes.pitch[notes.is_drum].tolist())
    instruments = [
        f"{PROGRAM_NAMES[program]} (program {program}): {count}"
        for program, count in pitched.most_common()
    ]
    if drums:
        hits = ", ".join(f"{count} {drum_name(key)}" for key, count in drums.most_common())
        instruments.append(f"drums: {drums.total()} ({hits})")
    yield from _titled("instruments", instruments)
    yield from _titled("remarks", notes.remarks)


def describe_tempo(tempos: Sequence[float]) -> str:
    """Describes the tempos of a song, in beats per minute."""
    if not tempos:
        return "none: the file counts in frames per second"
    low, high = min(tempos), max(tempos)
    if len(tempos) == 1:
        return f"{low:.4g} beats per minute"
    changes = len(tempos) - 1
    return f"{low:.4g} to {high:.4g} beats per minute, {changes} change{'s' * (changes > 1)}"


def _titled(title: str, texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the lines of a list, of which the first has the title."""
    for number, text in enumerate(texts or ["none"]):
        yield ("" if number else title), text
