"""How music is written down here.

A line of music is a string of tokens `PITCH:LENGTH`. A pitch is a note name with its octave (C4 is
middle C), several joined by `+`, `r` for a rest or `-` to hold the previous note on. The length
counts the line's unit and may be left out when it repeats. `|` closes a bar; every bar is checked.
A line of percussion draws hits instead: `x` a hit, `o` a soft one, `.` none.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """One voice of a part.

    Attributes:
        music: the notes (or hits), see the top of this file.
        unit_beats: quarter notes that one unit of length (or one percussion column) lasts.
        bar_beats: quarter notes in a full bar.
        level: MIDI velocity of an unaccented note.
        gate: sounding share of each note's length; 1 is legato, 0.5 staccato.
        start_beats: where the line begins.
        drum: the General MIDI drum that the hits strike; None for pitched lines.
        transpose: semitones added to every pitch.
        roll_beats: delay between the notes of a chord, from the lowest up, as a strum.
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
    """One player: a General MIDI program (counted from 0, None for the drum kit) and its lines.

    `pedal` lists (beat the sustain pedal goes down, beat it comes up).
    """

    name: str
    program: int | None
    lines: tuple[Line, ...]
    pedal: tuple[tuple[float, float], ...] = ()


class Piece(NamedTuple):
    """A piece.

    `tempo` lists (beat, quarter notes per minute); `swing` is the share of a beat that the first of
    two written eighths takes.
    """

    file: str
    title: str
    tempo: tuple[tuple[float, float], ...]
    parts: tuple[Part, ...]
    swing: float = 0.5
