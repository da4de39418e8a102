"""Command `inspect`: what is in a MIDI file, without rendering it."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result
from spectrodiff.commands.shared.songs import find_song
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
    parser.add_argument("songs", type=find_song, nargs="+", metavar="SONG.mid", help="MIDI files")
    keys = "song, seconds, tempos, notes, instruments, drums and remarks"
    add_json(parser, keys, each="song that can be read")
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
            lines = [f"  {title:12}{text}" for title, text in describe(song)]
            values = {"song": name, **contents(song)}
            print_result(flags, "\n".join([printable(name), *lines]), values)
    return min(refused, 1)


def contents(song: MidiSong) -> dict[str, Any]:
    """Returns what is in a song; tempos in beats per minute, each from a second on."""
    pitched, drums = _counts(song)
    instruments = [
        {"program": program, "name": PROGRAM_NAMES[program], "notes": count}
        for program, count in pitched.most_common()
    ]
    return {
        "seconds": song.notes.total_seconds,
        "tempos": [{"second": second, "tempo": tempo} for second, tempo in song.tempos],
        "notes": len(song.notes),
        "instruments": instruments,
        "drums": {drum_name(key): count for key, count in drums.most_common()},
        "remarks": list(song.notes.remarks),
    }


def _counts(song: MidiSong) -> tuple[Counter[int], Counter[int]]:
    """Returns the number of notes of each program, and of hits of each drum."""
    notes = song.notes
    pitched = Counter(notes.program[~notes.is_drum].tolist())
    return pitched, Counter(notes.pitch[notes.is_drum].tolist())


def describe(song: MidiSong) -> Iterator[tuple[str, str]]:
    """Yields the lines of a description: a title, empty in further lines, and a text."""
    notes = song.notes
    yield "duration", length(notes.total_seconds)
    yield "tempo", describe_tempo([tempo for _, tempo in song.tempos])
    yield "notes", str(len(notes))
    pitched, drums = _counts(song)
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
