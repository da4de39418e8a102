"""Text notation for music.

A line of music is a string of tokens `PITCH:LENGTH`. A pitch is a note name with octave (C4 is
middle C), several joined by `+`, `r` for a rest or `-` to extend the previous note. The length is
in units of the line and may be omitted if it equals the previous one. `|` ends a bar; the length of
each bar is checked. A line of percussion consists of hits instead: `x` a hit, `o` a soft hit,
`.` no hit.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """One voice of a part.

    Attributes:
        music: notes (or hits) in the notation of this module.
        unit_beats: quarter notes per unit of length (or percussion column).
        bar_beats: quarter notes per bar.
        level: MIDI velocity of a note without accent.
        gate: sounding share of each note's length; 1 is legato, 0.5 staccato.
        start_beats: start of the line in quarter notes.
        drum: General MIDI drum key of the hits; None for pitched lines.
        transpose: semitones added to each pitch.
        roll_beats: delay between the notes of a chord, in ascending order, as a strum.
    """

    music: str
    unit_beats: float
    bar_beats: float
    level: int = 80
    gate: float = 0.95
    start_beats: float = 0.0
    drum: int | None = None
    transpose: int = 0
    roll_beats: float = 0.0


class Part(NamedTuple):
    """Part of one player.

    Attributes:
        name: name of the instrument.
        program: General MIDI program, counted from 0; None for the drum kit.
        lines: voices of the part.
        pedal: beats at which the sustain pedal is pressed and released.
    """

    name: str
    program: int | None
    lines: tuple[Line, ...]
    pedal: tuple[tuple[float, float], ...] = ()


class Song(NamedTuple):
    """Song.

    Attributes:
        file: name of the MIDI file.
        title: title, with author and year.
        tempo: tempo changes as (beat, quarter notes per minute).
        parts: parts of all players.
        swing: share of a beat that the first of two written eighths takes.
    """

    file: str
    title: str
    tempo: tuple[tuple[float, float], ...]
    parts: tuple[Part, ...]
    swing: float = 0.5
