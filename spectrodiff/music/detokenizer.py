"""From token ids, such as a transcriber predicts, back to notes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spectrodiff.music.notes import Notes
from spectrodiff.music.vocabulary import END_ID, STEPS_PER_SECOND, Event, Vocabulary

_MIN_NOTE_STEPS = 1
_DRUM_STEPS = 1
_DEFAULT_VELOCITY = 100  # of notes that come before any velocity event


@dataclass(frozen=True)
class DecodedNotes:
    """Notes read from tokens, and how many of the tokens made no sense.

    Attributes:
        notes: in the order in which they ended, times on the grid of 1/100 s.
        invalid_events: tokens that were skipped: unknown ids, events earlier than their
            predecessor, note-offs and ties of silent notes, second tie sections, drums of no
            velocity.
        dropped_events: tokens that were left out since their segment had come to its end.
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
    """Reads the notes of consecutive segments.

    Args:
        rows: the token ids of each segment, int [n] each; what follows an end-of-sequence id is
            not looked at.
        start_seconds: when each segment starts, ascending.
        vocabulary: what the ids mean.
        ties: whether each segment opens with a tie section.
    """
    # Rounded down to a step in floating point, where some starts fall just below their own step:
    # 15.36 s becomes step 1535. The published scores are computed from such times.
    starts = [int(seconds // (1 / STEPS_PER_SECOND)) for seconds in start_seconds]
    player = _Player(vocabulary, in_tie_section=ties)
    spans = itertools.zip_longest(starts, starts[1:])
    for row, (start, next_start) in zip(rows, spans, strict=True):
        if ties:
            player.open_tie_section()
        player.play_segment(np.asarray(row).tolist(), start, next_start)
    player.end_all_notes()
    return DecodedNotes(_note_table(player.notes), player.invalid_events, player.dropped_events)


@dataclass(frozen=True)
class _Note:
    onset_step: int
    offset_step: int
    pitch: int
    velocity: int
    program: int
    is_drum: bool


@dataclass
class _Player:
    """Follows the events of one song; every time is a step since the song's start."""

    vocabulary: Vocabulary
    in_tie_section: bool
    step: int = 0
    program: int = 0
    velocity: int = _DEFAULT_VELOCITY
    sounding: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """(program, pitch) to (onset step, velocity)."""
    tied: set[tuple[int, int]] = field(default_factory=set)
    notes: list[_Note] = field(default_factory=list)
    invalid_events: int = 0
    dropped_events: int = 0

    def open_tie_section(self) -> None:
        self.in_tie_section = True
        self.tied = set()

    def play_segment(self, tokens: list[int], start: int, next_start: int | None) -> None:
        """Plays a segment's tokens up to its end, that of the tokens or the next one's start."""
        if END_ID in tokens:
            tokens = tokens[: tokens.index(END_ID)]
        shift, step = 0, start
        for index, token in enumerate(tokens):
            event = self.vocabulary.decode(token)
            if event is None:
                self.invalid_events += 1
            elif event.kind == "shift":
                # Longer shifts than one token holds are written as several in a row.
                shift += event.value
                step = start + shift
                if next_start is not None and step > next_start:
                    self.dropped_events += len(tokens) - index
                    return
            else:
                shift = 0
                if step < self.step or not self._play(event, step):
                    self.invalid_events += 1

    def end_all_notes(self) -> None:
        onsets = [onset for onset, _ in self.sounding.values()]
        self.step = max([self.step, *(onset + _MIN_NOTE_STEPS for onset in onsets)])
        for key in list(self.sounding):
            self._end_note(key)

    def _play(self, event: Event, step: int) -> bool:
        """Plays one event other than a shift; False if it makes no sense."""
        self.step = step
        match event.kind:
            case "program":
                self.program = event.value
            case "velocity":
                self.velocity = self.vocabulary.bin_to_velocity(event.value)
            case "pitch" if self.in_tie_section:
                return self._tie((self.program, event.value))
            case "pitch":
                return self._switch((self.program, event.value))
            case "drum":
                return self._hit(event.value)
            case "tie":
                return self._close_tie_section()
        return True

    def _tie(self, key: tuple[int, int]) -> bool:
        if key not in self.sounding or key in self.tied:
            return False
        self.tied.add(key)
        return True

    def _switch(self, key: tuple[int, int]) -> bool:
        """Starts or ends a note, depending on the velocity in force."""
        was_sounding = key in self.sounding
        if was_sounding:
            self._end_note(key)
        if self.velocity > 0:
            self.sounding[key] = (self.step, self.velocity)
        return was_sounding or self.velocity > 0

    def _hit(self, drum: int) -> bool:
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
