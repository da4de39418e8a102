"""Notes that are played while they are rendered, and forgotten when they have sounded."""

import dataclasses
import heapq
import itertools
import math
from typing import NamedTuple

import numpy as np

from spectrodiff.core.errors import ConfigError
from spectrodiff.music.notes import Notes
from spectrodiff.music.steering import Course, Steering
from spectrodiff.music.vocabulary import STEPS_PER_SECOND

# Notes that began earlier before a segment count as if they began then.
FAR_SECONDS = 3600.0


class NoteKey(NamedTuple):
    """A key of an instrument; drums have no program."""

    is_drum: bool
    program: int
    pitch: int


@dataclasses.dataclass
class _Played:
    """A note as it was played, in score time; the offset is infinite while its key is held."""

    onset_seconds: float
    offset_seconds: float
    pitch: int
    velocity: int
    program: int
    is_drum: bool
    late_seconds: float = 0.0  # that it was moved in the score, since its time had passed


@dataclasses.dataclass(eq=False)
class _Sound:
    """A steered note, in sound time; the offset is infinite until the segment that it is in."""

    note: _Played
    onset_seconds: float
    offset_seconds: float
    pitch: int
    program: int

    @property
    def key(self) -> NoteKey:
        """Key of the instrument that sounds."""
        return NoteKey(self.note.is_drum, self.program, self.pitch)


class PlayedNotes:
    """Notes that are played, until the segments that they sound in are taken, one after another.

    Moments are in seconds of the sound; `start` is the first one that is not taken yet. What is
    played for an earlier moment is moved to it.

    Args:
        steering: instruments, transposition and tempo.
        trim_overlaps: whether a note ends at the next onset on its key, as `Tokenization` has it.
        kept_seconds: how long before `start` notes are still asked for.

    Attributes:
        start: first moment that is not taken yet.
    """

    def __init__(
        self, steering: Steering | None, *, trim_overlaps: bool, kept_seconds: float = 0.0
    ) -> None:
        self.start, self._kept_seconds = 0.0, kept_seconds
        self._course, self._trim_overlaps = Course(steering), trim_overlaps
        self._count = itertools.count()
        # Notes that begin later, by onset; the number keeps the order of those at one time.
        self._coming: list[tuple[float, int, _Played]] = []
        self._sounding: list[_Sound] = []
        self._held: dict[NoteKey, _Played] = {}

    def press(self, key: NoteKey, velocity: int, seconds: float | None) -> None:
        """Begins a note, and ends the one that sounds on its key.

        Args:
            key: what is pressed.
            velocity: 1..127.
            seconds: when; None for as soon as possible.
        """
        onset, late = self._moment(seconds)
        self._end(key, onset)
        note = _Played(onset, math.inf, key.pitch, velocity, key.program, key.is_drum, late)
        self._held[key] = note
        self._push(note)

    def release(self, key: NoteKey, seconds: float | None) -> None:
        """Ends the note on a key, if there is one; arguments are those of `press`."""
        if key in self._held:
            offset, _ = self._moment(seconds, self._held[key].late_seconds)
            self._end(key, offset)

    def add(self, notes: Notes, seconds: float | None) -> None:
        """Adds notes whose time 0 is at a moment, None for as soon as possible."""
        start, _ = self._moment(seconds)
        columns = (
            start + notes.onset_seconds,
            start + notes.offset_seconds,
            notes.pitch,
            notes.velocity,
            notes.program,
            notes.is_drum,
        )
        for onset, offset, *row in zip(*(c.tolist() for c in columns), strict=True):
            self._push(_Played(onset, _after(onset, offset), *row))

    def steer(self, steering: Steering) -> None:
        """Steers notes that begin from `start` on, and the tempo from then on."""
        # Notes that sound already are not affected: what was before is not needed.
        self._course = self._course.steered(self.start, steering).without_past(math.inf)

    def sounding(self, end: float, unit_seconds: float) -> tuple[Notes, float]:
        """Returns the notes that sound up to a moment, from `kept_seconds` before `start` on.

        Args:
            end: moment after `start`.
            unit_seconds: a whole number that the origin of the table is a multiple of.

        Returns:
            The notes, also some that are over and had to do with those that sound, and the moment
            that is their time 0. Rounded, times are the same as without another origin.
        """
        self._forget()
        self._begin(end)
        begin = self.start - self._kept_seconds
        first = min((sound.onset_seconds for sound in self._sounding), default=begin)
        first = max(min(first, begin), begin - FAR_SECONDS)
        # Not before the song, whose times would then be rounded differently.
        origin = max(math.floor(first / unit_seconds), 0) * unit_seconds
        onset = np.array([sound.onset_seconds for sound in self._sounding])
        # Notes that go on are not seen to end.
        offset = np.array([min(sound.offset_seconds, end + 1.0) for sound in self._sounding])
        notes = Notes(
            onset_seconds=np.maximum(onset - origin, 0.0),
            offset_seconds=np.maximum(offset - origin, 0.0),
            pitch=np.array([sound.pitch for sound in self._sounding], np.int64),
            velocity=np.array([sound.note.velocity for sound in self._sounding], np.int64),
            program=np.array([sound.program for sound in self._sounding], np.int64),
            is_drum=np.array([sound.note.is_drum for sound in self._sounding], np.bool_),
            total_seconds=end - origin + 1.0,
        )
        return notes, origin

    def _moment(self, seconds: float | None, late_seconds: float = 0.0) -> tuple[float, float]:
        """Returns the time in the score for a moment of the sound, and how late that is.

        Args:
            seconds: the moment; None for the first one that is possible.
            late_seconds: time in the score that the note was moved by.
        """
        first = self._course.score_seconds(self.start)
        if seconds is None:
            return first, 0.0
        if not math.isfinite(seconds):
            raise ConfigError("seconds", "a finite number", f"{seconds}")
        wanted = self._course.score_seconds(seconds) + late_seconds
        return max(wanted, first), max(first - wanted, 0.0)

    def _push(self, note: _Played) -> None:
        heapq.heappush(self._coming, (note.onset_seconds, next(self._count), note))

    def _end(self, key: NoteKey, offset_seconds: float) -> None:
        note = self._held.pop(key, None)
        if note is not None:
            note.offset_seconds = _after(note.onset_seconds, offset_seconds)

    def _begin(self, end: float) -> None:
        """Steers the notes that begin before a moment, and ends those that end before it."""
        course, score_end = self._course, self._course.score_seconds(end)
        notes = []
        while self._coming and self._coming[0][0] < score_end:
            notes.append(heapq.heappop(self._coming)[2])
        table = Notes(
            onset_seconds=np.zeros(len(notes)),
            offset_seconds=np.zeros(len(notes)),
            pitch=np.array([note.pitch for note in notes], np.int64),
            velocity=np.array([note.velocity for note in notes], np.int64),
            program=np.array([note.program for note in notes], np.int64),
            is_drum=np.array([note.is_drum for note in notes], np.bool_),
        )
        steered, rows = Course(course.last).apply(table)
        begun = [
            _Sound(
                notes[row],
                course.sound_seconds(notes[row].onset_seconds),
                math.inf,
                int(pitch),
                int(program),
            )
            for row, pitch, program in zip(rows, steered.pitch, steered.program, strict=True)
        ]
        for sound in (*self._sounding, *begun):
            if math.isinf(sound.offset_seconds) and sound.note.offset_seconds < score_end:
                sound.offset_seconds = course.sound_seconds(sound.note.offset_seconds)
        for sound in begun:
            if self._trim_overlaps:
                self._trim(sound)
            self._sounding.append(sound)

    def _trim(self, new: _Sound) -> None:
        """Ends the notes on the key of a new one, as a tokenization that sees all notes would."""
        for sound in self._sounding:
            if sound.key == new.key:
                sound.offset_seconds = min(sound.offset_seconds, new.onset_seconds)
        self._sounding = [s for s in self._sounding if s.onset_seconds < s.offset_seconds]

    def _forget(self) -> None:
        """Drops notes that segments from `start` on do not need."""
        # Times are rounded to steps, some of them up to the moment.
        past = self.start - self._kept_seconds - 2 / STEPS_PER_SECOND
        # A note may have ended another of its pitch that was to sound until later, by its onset or
        # its offset, and of another program if the model hears both as the same.
        began: dict[tuple[bool, int], float] = {}
        last_onset: dict[NoteKey, _Sound] = {}
        last_offset: dict[NoteKey, _Sound] = {}
        for sound in self._sounding:
            if sound.offset_seconds > past:
                began.setdefault((sound.note.is_drum, sound.pitch), sound.onset_seconds)
                continue
            last_onset[sound.key] = sound
            if sound.offset_seconds >= last_offset.setdefault(sound.key, sound).offset_seconds:
                last_offset[sound.key] = sound
        kept = {*last_onset.values(), *last_offset.values()}
        self._sounding = [
            sound
            for sound in self._sounding
            if sound.offset_seconds > past
            or (
                sound in kept
                and sound.offset_seconds > began.get((sound.note.is_drum, sound.pitch), math.inf)
            )
        ]


def _after(onset_seconds: float, offset_seconds: float) -> float:
    """Returns an offset that is later than the onset, so that the note has an end."""
    shortest = onset_seconds + 1 / STEPS_PER_SECOND
    return offset_seconds if offset_seconds > onset_seconds else shortest
