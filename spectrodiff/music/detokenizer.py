"""Decoding of token ids, such as a transcriber predicts, into notes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spectrodiff.music.notes import Notes
from spectrodiff.music.vocabulary import END_ID, STEPS_PER_SECOND, Event, Vocabulary

_MIN_NOTE_STEPS = 1
_DRUM_STEPS = 1
_DEFAULT_VELOCITY = 100  # velocity of notes before the first velocity event


@dataclass(frozen=True)
class DecodedNotes:
    """Notes decoded from tokens, with counts of the tokens that were skipped.

    Attributes:
        notes: in order of their offsets, times on a grid of 1/100 s.
        invalid_events: number of invalid tokens: unknown ids, events earlier than their
            predecessor, note-offs and ties of notes that are not sounding, second tie sections,
            drums with velocity 0.
        dropped_events: number of tokens after the end of their segment.
    """

    notes: Notes
    invalid_events: int
    dropped_events: int


def decode_tokens(
    rows: Sequence[npt.ArrayLike],
    start_seconds: Sequence[float],
    vocabulary: Vocabulary,
    *,
    ties: bool = True,
) -> DecodedNotes:
    """Decodes the notes of consecutive segments.

    Args:
        rows: token ids of each segment, int [n] each; ids after the first end-of-sequence id are
            ignored.
        start_seconds: start time of each segment, ascending.
        vocabulary: maps ids to events.
        ties: whether each segment starts with a tie section.
    """
    # Floored in floating point, which puts some starts one step too low: 15.36 s becomes step 1535.
    # The published scores are computed from these times.
    starts = [int(seconds // (1 / STEPS_PER_SECOND)) for seconds in start_seconds]
    decoder = _Decoder(vocabulary, in_tie_section=ties)
    spans = itertools.zip_longest(starts, starts[1:])
    for row, (start, next_start) in zip(rows, spans, strict=True):
        if ties:
            decoder.open_tie_section()
        decoder.decode_segment(np.asarray(row).tolist(), start, next_start)
    decoder.end_all_notes()
    return DecodedNotes(_note_table(decoder.notes), decoder.invalid_events, decoder.dropped_events)


@dataclass(frozen=True)
class _Note:
    onset_step: int
    offset_step: int
    pitch: int
    velocity: int
    program: int
    is_drum: bool


@dataclass
class _Decoder:
    """State machine over the events of one song; times are steps since the start of the song."""

    vocabulary: Vocabulary
    in_tie_section: bool
    step: int = 0
    program: int = 0
    velocity: int = _DEFAULT_VELOCITY
    sounding: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """Onset step and velocity of the sounding notes by (program, pitch)."""
    tied: set[tuple[int, int]] = field(default_factory=set)
    notes: list[_Note] = field(default_factory=list)
    invalid_events: int = 0
    dropped_events: int = 0

    def open_tie_section(self) -> None:
        self.in_tie_section = True
        self.tied = set()

    def decode_segment(self, tokens: list[int], start: int, next_start: int | None) -> None:
        """Applies the events of a segment until its tokens end or the next segment starts."""
        if END_ID in tokens:
            tokens = tokens[: tokens.index(END_ID)]
        shift, step = 0, start
        for index, token in enumerate(tokens):
            event = self.vocabulary.decode(token)
            if event is None:
                self.invalid_events += 1
            elif event.kind == "shift":
                # A shift longer than one token can hold is written as consecutive shifts.
                shift += event.value
                step = start + shift
                if next_start is not None and step > next_start:
                    self.dropped_events += len(tokens) - index
                    return
            else:
                shift = 0
                if step < self.step or not self._apply(event, step):
                    self.invalid_events += 1

    def end_all_notes(self) -> None:
        onsets = [onset for onset, _ in self.sounding.values()]
        self.step = max([self.step, *(onset + _MIN_NOTE_STEPS for onset in onsets)])
        for key in list(self.sounding):
            self._end_note(key)

    def _apply(self, event: Event, step: int) -> bool:
        """Applies one event other than a shift; returns False if it is invalid."""
        self.step = step
        match event.kind:
            case "program":
                self.program = event.value
            case "velocity":
                self.velocity = self.vocabulary.bin_to_velocity(event.value)
            case "pitch" if self.in_tie_section:
                return self._tie((self.program, event.value))
            case "pitch":
                return self._start_or_end((self.program, event.value))
            case "drum":
                return self._drum_hit(event.value)
            case "tie":
                return self._close_tie_section()
        return True

    def _tie(self, key: tuple[int, int]) -> bool:
        if key not in self.sounding or key in self.tied:
            return False
        self.tied.add(key)
        return True

    def _start_or_end(self, key: tuple[int, int]) -> bool:
        """Starts a note, or ends it if the current velocity is 0."""
        was_sounding = key in self.sounding
        if was_sounding:
            self._end_note(key)
        if self.velocity > 0:
            self.sounding[key] = (self.step, self.velocity)
        return was_sounding or self.velocity > 0

    def _drum_hit(self, drum: int) -> bool:
        if self.velocity > 0:
            end = self.step + _DRUM_STEPS
            self.notes.append(_Note(self.step, end, drum, self.velocity, program=0, is_drum=True))
        return self.velocity > 0

    def _close_tie_section(self) -> bool:
        if not self.in_tie_section:
            return False
        for key in [key for key in self.sounding if key not in self.tied]:
            self._end_note(key)
        self.in_tie_section = False
        return True

    def _end_note(self, key: tuple[int, int]) -> None:
        program, pitch = key
        onset, velocity = self.sounding.pop(key)
        offset = max(self.step, onset + _MIN_NOTE_STEPS)
        self.notes.append(_Note(onset, offset, pitch, velocity, program, is_drum=False))


def _note_table(notes: list[_Note]) -> Notes:
    return Notes(
        onset_seconds=np.array([note.onset_step for note in notes]) / STEPS_PER_SECOND,
        offset_seconds=np.array([note.offset_step for note in notes]) / STEPS_PER_SECOND,
        pitch=np.array([note.pitch for note in notes], np.int32),
        velocity=np.array([note.velocity for note in notes], np.int32),
        program=np.array([note.program for note in notes], np.int32),
        is_drum=np.array([note.is_drum for note in notes], np.bool_),
    )
