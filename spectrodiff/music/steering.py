"""Steering of a song while it plays: instruments, pitch and tempo that change at some moments.

Score time is the time of the notes as they were written, sound time that of the audio. They differ
where the tempo is steered.
"""

import dataclasses
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Literal, NamedTuple, Self, overload

import numpy as np

from spectrodiff.core.config import require
from spectrodiff.core.errors import ConfigError
from spectrodiff.music.notes import Notes

Part = int | Literal["drums"]
"""A part of a song: the General MIDI program of its notes, or the drums."""

LOWEST_TEMPO, HIGHEST_TEMPO = 0.25, 4.0
MAX_TRANSPOSE = 48


@dataclasses.dataclass(frozen=True)
class Steering:
    """Changes of a song's notes; the default changes nothing.

    Attributes:
        transpose: semitones that all notes but drums are moved up, -48..48. Notes that would leave
            0..127 are left out.
        tempo: speed relative to the song's own, 0.25..4.
        programs: General MIDI programs that replace programs of the song, 0..127.
        muted: programs of the song, and "drums", that are left out.

    Raises:
        ConfigError: if a value is out of its range.
    """

    transpose: int = 0
    tempo: float = 1.0
    programs: Mapping[int, int] = dataclasses.field(default_factory=dict)
    muted: Collection[Part] = frozenset()

    def __post_init__(self) -> None:
        in_range = _is_whole(self.transpose) and abs(self.transpose) <= MAX_TRANSPOSE
        expected = f"whole semitones in -{MAX_TRANSPOSE}..{MAX_TRANSPOSE}"
        require(in_range, "transpose", expected, self.transpose)
        number = isinstance(self.tempo, Real) and not isinstance(self.tempo, bool)
        in_range = number and LOWEST_TEMPO <= self.tempo <= HIGHEST_TEMPO
        expected = f"a factor in {LOWEST_TEMPO:g}..{HIGHEST_TEMPO:g}"
        require(in_range, "tempo", expected, self.tempo)
        programs = isinstance(self.programs, Mapping)
        programs = programs and all(_is_program(p) for pair in self.programs.items() for p in pair)
        require(programs, "programs", "a mapping of programs in 0..127", self.programs)
        muted = isinstance(self.muted, Collection) and not isinstance(self.muted, str)
        muted = muted and all(part == "drums" or _is_program(part) for part in self.muted)
        require(muted, "muted", "programs in 0..127, or 'drums'", self.muted)
        object.__setattr__(self, "transpose", int(self.transpose))
        object.__setattr__(self, "tempo", float(self.tempo))
        object.__setattr__(self, "programs", {int(p): int(q) for p, q in self.programs.items()})
        parts = (part if part == "drums" else int(part) for part in self.muted)
        object.__setattr__(self, "muted", frozenset(parts))

    def __hash__(self) -> int:
        return hash((self.transpose, self.tempo, frozenset(self.programs.items()), self.muted))


def check_steering(steering: object) -> Steering:
    """Returns a steering.

    Raises:
        ConfigError: if it is something else.
    """
    if not isinstance(steering, Steering):
        raise ConfigError("steering", "a Steering", repr(steering)[:80])
    return steering


class _Stretch(NamedTuple):
    """Time from a moment on in which one steering holds."""

    sound_seconds: float
    score_seconds: float
    steering: Steering


class Course:
    """Steering over the whole time of a song.

    Args:
        steering: steering from the start on.
    """

    def __init__(self, steering: Steering | None = None) -> None:
        self._stretches: tuple[_Stretch, ...] = (_Stretch(0.0, 0.0, steering or Steering()),)

    def steered(self, sound_seconds: float, steering: Steering) -> Self:
        """Returns a course that is steered otherwise from a moment of the sound on, to its end."""
        score_seconds = self.score_seconds(sound_seconds)
        kept = [stretch for stretch in self._stretches if stretch.sound_seconds < sound_seconds]
        course = type(self)()
        course._stretches = (*kept, _Stretch(sound_seconds, score_seconds, steering))
        return course

    def without_past(self, score_seconds: float) -> Self:
        """Returns the course without the stretches that end before a moment of the score."""
        later = [s for s in self._stretches[1:] if s.score_seconds > score_seconds]
        course = type(self)()
        course._stretches = self._stretches[len(self._stretches) - len(later) - 1 :]
        return course

    @property
    def last(self) -> Steering:
        """Steering at the end of the song."""
        return self._stretches[-1].steering

    def score_seconds(self, sound_seconds: float) -> float:
        """Returns the moment of the score that sounds at a moment."""
        start = [s for s in self._stretches if s.sound_seconds <= sound_seconds] or self._stretches
        stretch = start[-1]
        passed = sound_seconds - stretch.sound_seconds
        return stretch.score_seconds + passed * stretch.steering.tempo

    @overload
    def sound_seconds(self, score_seconds: float) -> float: ...

    @overload
    def sound_seconds(self, score_seconds: np.ndarray) -> np.ndarray: ...

    def sound_seconds(self, score_seconds: float | np.ndarray) -> float | np.ndarray:
        """Returns when moments of the score sound, a number or float64 [n]."""
        moments = np.atleast_1d(score_seconds)
        sound = self._sound_seconds(moments, self._number(moments))
        return sound if isinstance(score_seconds, np.ndarray) else float(sound[0])

    def apply(self, notes: Notes) -> tuple[Notes, np.ndarray]:
        """Returns the notes that sound, in sound time, and their rows in a table in score time.

        The steering at a note's onset decides on its instrument and pitch, also if the note lasts
        longer.

        Args:
            notes: the song in score time.

        Returns:
            Steered notes, and int64 [steered notes], the row of each in `notes`.
        """
        number = self._number(notes.onset_seconds)
        program, pitch = notes.program.copy(), notes.pitch.copy()
        kept = np.full(len(notes), True)
        for place, (_, _, steering) in enumerate(self._stretches):
            here = number == place
            pitched = here & ~notes.is_drum
            pitch[pitched] += steering.transpose
            for old, new in steering.programs.items():
                program[pitched & (notes.program == old)] = new
            for part in steering.muted:
                rows = here & notes.is_drum
                if part != "drums":
                    rows = pitched & (notes.program == part)
                kept[rows] = False
        rows = np.flatnonzero(kept & (pitch >= 0) & (pitch <= 127))
        end = self.sound_seconds(notes.total_seconds)
        columns = {
            "onset_seconds": self._sound_seconds(notes.onset_seconds, number)[rows],
            "offset_seconds": self.sound_seconds(notes.offset_seconds)[rows],
            "pitch": pitch[rows],
            "velocity": notes.velocity[rows],
            "program": program[rows],
            "is_drum": notes.is_drum[rows],
        }
        return Notes.from_columns(columns, total_seconds=end), rows

    def _number(self, score_seconds: np.ndarray) -> np.ndarray:
        """Returns the number of the stretch that each moment of the score is in."""
        starts = [stretch.score_seconds for stretch in self._stretches]
        return np.maximum(np.searchsorted(starts, score_seconds, side="right") - 1, 0)

    def _sound_seconds(self, score_seconds: np.ndarray, number: np.ndarray) -> np.ndarray:
        sound = np.array([stretch.sound_seconds for stretch in self._stretches])
        score = np.array([stretch.score_seconds for stretch in self._stretches])
        tempo = np.array([stretch.steering.tempo for stretch in self._stretches])
        return sound[number] + (score_seconds - score[number]) / tempo[number]


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_program(program: object) -> bool:
    return _is_whole(program) and 0 <= program <= 127  # type: ignore[operator]
