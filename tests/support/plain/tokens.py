"""Notes to tokens and back, one event after another, on files that note-seq reads."""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

import note_seq
import numpy as np

END = 1
SEGMENT_STEPS, SEGMENT_SECONDS = 512, 5.12
SLAKH_PROGRAMS = (
    *(0, 4, 8, 16, 24, 26, 29, 32, 33, 40, 41, 42, 43, 46, 47, 48, 50, 52, 55, 56, 57, 58, 60, 61),
    *(64, 66, 67, 68, 69, 70, 71, 73, 80, 88),
)


class Note(NamedTuple):
    """One note; times in seconds."""

    pitch: int
    velocity: int
    program: int
    is_drum: bool
    start: float
    end: float


class Event(NamedTuple):
    """A beginning or an end of a note, `step` hundredths of a second into the song."""

    step: int
    note: Note
    velocity_bin: int  # 0 for an end


def read_song(path: Path) -> tuple[list[Note], float]:
    """Notes of a MIDI file, ends moved by the sustain pedal, and its length in seconds."""
    sequence = note_seq.apply_sustain_control_changes(note_seq.midi_file_to_note_sequence(path))
    notes = [
        Note(n.pitch, n.velocity, n.program, n.is_drum, n.start_time, n.end_time)
        for n in sequence.notes
    ]
    return notes, sequence.total_time


def trimmed(notes: list[Note]) -> list[Note]:
    """Notes that end where the next one of their pitch and instrument begins."""
    by_key: dict[tuple, list[Note]] = {}
    for note in sorted(notes, key=lambda note: note.start):
        by_key.setdefault((note.pitch, note.program, note.is_drum), []).append(note)
    kept = []
    for same in by_key.values():
        for note, following in zip(same, [*same[1:], None], strict=True):
            end = note.end if following is None else min(note.end, following.start)
            if note.start < end:
                kept.append(note._replace(end=end))
    return kept


def slakh_program(note: Note) -> Note:
    """The note with the largest Slakh class program that is not above its own."""
    if note.is_drum:
        return note
    return note._replace(program=max(p for p in SLAKH_PROGRAMS if p <= note.program))


@dataclasses.dataclass(frozen=True)
class Ids:
    """Token ids of a vocabulary with a number of velocity bins."""

    bins: int

    def shift(self, steps: int) -> int:
        return 3 + steps

    def pitch(self, value: int) -> int:
        return 3 + 1001 + value

    def velocity(self, value: int) -> int:
        return 3 + 1001 + 128 + value

    @property
    def tie(self) -> int:
        return 3 + 1001 + 128 + self.bins + 1

    def program(self, value: int) -> int:
        return self.tie + 1 + value

    def drum(self, value: int) -> int:
        return self.tie + 1 + 128 + value


def song_events(notes: list[Note], bins: int) -> list[Event]:
    """Every end (of notes other than drums), then every beginning, sorted by time."""
    notes = sorted(notes, key=lambda note: (note.is_drum, note.program, note.pitch))
    timed = [(note.end, note, 0) for note in notes if not note.is_drum]
    timed += [(note.start, note, math.ceil(bins * note.velocity / 127)) for note in notes]
    timed.sort(key=lambda item: item[0])
    return [Event(round(time * 100), note, velocity_bin) for time, note, velocity_bin in timed]


def segment_rows(notes: list[Note], total_seconds: float, *, bins: int, ties: bool) -> list:
    """Token ids of each segment of a song, without padding."""
    events = song_events(notes, bins)
    num_frames = int(total_seconds * 16_000) // 320 + 1
    starts = range(0, 2 * num_frames, SEGMENT_STEPS)
    ends = [*starts[1:], math.inf]
    return [
        _segment(events, Ids(bins), ties, start, end)
        for start, end in zip(starts, ends, strict=True)
    ]


def _segment(events: list[Event], ids: Ids, ties: bool, start: int, end: float) -> list[int]:
    inside = [event for event in events if start <= event.step < end]
    tokens, program, velocity, step = [], None, None, start
    if ties:
        first = events.index(inside[0]) if inside else len(events)
        for sounding, pitch in sorted(_sounding(events[:first])):
            if sounding != program:
                tokens.append(ids.program(sounding))
                program = sounding
            tokens.append(ids.pitch(pitch))
        tokens.append(ids.tie)
    for event in inside:
        if event.step > step:
            tokens.append(ids.shift(event.step - start))
            step = event.step
        if not event.note.is_drum and event.note.program != program:
            program = event.note.program
            tokens.append(ids.program(program))
        if event.velocity_bin != velocity:
            velocity = event.velocity_bin
            tokens.append(ids.velocity(velocity))
        name = ids.drum if event.note.is_drum else ids.pitch
        tokens.append(name(event.note.pitch))
    return [*tokens, END]


def _sounding(events: list[Event]) -> set[tuple[int, int]]:
    sounding = set()
    for _, note, velocity_bin in events:
        if not note.is_drum:
            change = sounding.add if velocity_bin else sounding.discard
            change((note.program, note.pitch))
    return sounding


def padded(rows: list[list[int]], length: int | None = None) -> np.ndarray:
    """Rows as one int32 array with zeros at their ends."""
    length = length or max(map(len, rows))
    return np.array([row + [0] * (length - len(row)) for row in rows], np.int32)


class Decoder:
    """Notes from the tokens of segments one after another, with one velocity bin and ties."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.invalid = self.dropped = 0
        self._sounding: dict[tuple[int, int], tuple[float, int]] = {}
        self._tied: set[tuple[int, int]] = set()
        self._in_ties = True
        self._program, self._velocity, self._now = 0, 100, 0.0

    def song(self, rows: list[list[int]]) -> None:
        """Decodes all segments and ends what still sounds at the last time."""
        # Floor division of floats, as the reference has it: 15.36 s begins at step 1535.
        starts = [SEGMENT_SECONDS * number // 0.01 / 100 for number in range(len(rows))]
        for row, start, following in zip(rows, starts, [*starts[1:], math.inf], strict=True):
            self._tied, self._in_ties = set(), True
            self._segment(row[: row.index(END)], start, following)
        last = max([self._now, *(start + 0.01 for start, _ in self._sounding.values())])
        self._now = last
        for key in list(self._sounding):
            self._end(key)

    def _segment(self, row: list[int], start: float, following: float) -> None:
        steps, now = 0, start
        for place, token in enumerate(row):
            index = token - 3
            if 0 <= index <= 1000:
                steps += index
                now = start + steps / 100
                if now > following:
                    self.dropped += len(row) - place
                    return
                continue
            if index >= Ids(bins=1).drum(128) - 3 or index < 0:
                self.invalid += 1
                continue
            steps = 0
            if now < self._now:
                self.invalid += 1
                continue
            self._now = now
            if not self._change(index - 1001):
                self.invalid += 1

    def _change(self, index: int) -> bool:
        """Applies an event other than a shift; False if it means nothing here."""
        pitch, velocity, program, drum = index, index - 128, index - 131, index - 259
        if pitch < 128:
            return self._tie(pitch) if self._in_ties else self._switch(pitch)
        if velocity < 2:
            self._velocity = 127 * velocity
        elif velocity == 2:
            return self._close_ties()
        elif program < 128:
            self._program = program
        elif self._velocity:
            self._add(drum, self._velocity, 0, True, self._now, self._now + 0.01)
        else:
            return False
        return True

    def _tie(self, pitch: int) -> bool:
        key = self._program, pitch
        meant = key in self._sounding and key not in self._tied
        self._tied.add(key)
        return meant

    def _close_ties(self) -> bool:
        was_open, self._in_ties = self._in_ties, False
        if was_open:
            for key in [key for key in self._sounding if key not in self._tied]:
                self._end(key)
        return was_open

    def _switch(self, pitch: int) -> bool:
        key = self._program, pitch
        was_sounding = key in self._sounding
        if was_sounding:
            self._end(key)
        if self._velocity:
            self._sounding[key] = self._now, self._velocity
        return was_sounding or self._velocity > 0

    def _end(self, key: tuple[int, int]) -> None:
        start, velocity = self._sounding.pop(key)
        program, pitch = key
        self._add(pitch, velocity, program, False, start, max(self._now, start + 0.01))

    def _add(
        self, pitch: int, velocity: int, program: int, is_drum: bool, start: float, end: float
    ) -> None:
        start, end = round(start, 2), round(end, 2)
        self.notes.append(Note(pitch, velocity, program, is_drum, start, end))
