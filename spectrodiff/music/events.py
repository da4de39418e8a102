"""The onsets and offsets of a song in order, and the token ids of any segment cut out of it.

A song is indexed once, in O(n log n); after that a segment costs what sounds in it, no more.
"""

from dataclasses import dataclass

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE, SEGMENT_FRAMES
from spectrodiff.music.notes import Notes, map_programs
from spectrodiff.music.programs import ProgramMap
from spectrodiff.music.vocabulary import END_ID, PADDING_ID, STEPS_PER_SECOND, Vocabulary

MAX_TOKENS = 2048  # N of the released models

_STEPS_PER_FRAME = STEPS_PER_SECOND * HOP_SAMPLES // SAMPLE_RATE
_CHECKPOINT_EVENTS = 1024
# Columns of a row of ids, which stands for one event; 0 where it has no such token.
_SHIFT, _PROGRAM, _VELOCITY, _PITCH = range(4)


def index_notes(
    notes: Notes,
    vocabulary: Vocabulary,
    *,
    ties: bool = True,
    program_map: ProgramMap = "full",
) -> "SongEvents":
    """Puts the onsets and offsets of a song in order, ready to be cut into segments.

    Args:
        notes: the song; without any notes its segments are silent.
        vocabulary: ids of the events.
        ties: whether segments open with a list of the notes that are already sounding.
        program_map: the set of instruments; "flat" leaves program tokens out.
    """
    notes = map_programs(notes, program_map)
    by_key = np.lexsort((notes.pitch, notes.program, notes.is_drum))
    pitched = by_key[~notes.is_drum[by_key]]
    # Sorting by time is stable, so this order holds at equal times: offsets first, drums last.
    row = np.concatenate([pitched, by_key])
    is_onset = np.arange(len(row)) >= len(pitched)
    seconds = np.where(is_onset, notes.onset_seconds[row], notes.offset_seconds[row])
    in_time = np.argsort(seconds, kind="stable")
    row, is_onset, seconds = row[in_time], is_onset[in_time], seconds[in_time]

    pitch, program, is_drum = notes.pitch[row], notes.program[row], notes.is_drum[row]
    velocity_bin = vocabulary.velocity_to_bin(np.where(is_onset, notes.velocity[row], 0))
    has_program = ~is_drum & (program_map != "flat")
    ids = np.zeros((len(row), 4), np.int32)
    ids[:, _PROGRAM] = np.where(has_program, vocabulary.encode("program", program), 0)
    ids[:, _VELOCITY] = vocabulary.encode("velocity", velocity_bin)
    ids[:, _PITCH] = np.where(
        is_drum, vocabulary.encode("drum", pitch), vocabulary.encode("pitch", pitch)
    )
    note_key = np.where(is_drum, -1, program * 128 + pitch)
    return SongEvents(
        vocabulary=vocabulary,
        num_samples=int(notes.total_seconds * SAMPLE_RATE),
        step=np.rint(seconds * STEPS_PER_SECOND).astype(np.int64),
        ids=ids,
        sounding=_index_sounding(note_key, is_onset & ~is_drum) if ties else None,
    )


@dataclass(frozen=True, eq=False)
class SegmentTokens:
    """The tokens of one segment.

    Attributes:
        tokens: int32 [n], closed by an end-of-sequence id, not padded.
        num_tokens: how many tokens all of its events need; more than n if it was cut.
        left_out_events: how many onsets, offsets and tied notes at its end did not fit.
    """

    tokens: np.ndarray
    num_tokens: int
    left_out_events: int

    def padded(self, length: int) -> np.ndarray:
        """The tokens with padding behind them, int32 [length]."""
        return np.pad(self.tokens, (0, length - len(self.tokens)), constant_values=PADDING_ID)


@dataclass(frozen=True, eq=False)
class SongEvents:
    """The events of a song in the order in which they are played, made by `index_notes`.

    Attributes:
        vocabulary: meaning of the ids.
        num_samples: length of the song at 16 kHz.
        step: int64 [events], when each happens, in 1/100 s since the song's start.
        ids: int32 [events, 4], its tokens: shift (still empty), program, velocity, pitch or drum.
        sounding: finds the notes to tie; None leaves tie sections out.
    """

    vocabulary: Vocabulary
    num_samples: int
    step: np.ndarray
    ids: np.ndarray
    sounding: "SoundingNotes | None"

    @property
    def num_frames(self) -> int:
        """How many spectrogram frames the song has."""
        return self.num_samples // HOP_SAMPLES + 1

    def segment(
        self,
        start_frame: int,
        max_tokens: int = MAX_TOKENS,
        segment_frames: int = SEGMENT_FRAMES,
    ) -> SegmentTokens:
        """The tokens of frames [start_frame, start_frame + segment_frames).

        A segment that reaches the song's last frame holds everything up to the end of the song.

        Args:
            start_frame: any frame from 0 on; after the song's end there is silence.
            max_tokens: how many tokens there is room for, at least 2.
            segment_frames: length of the segment.
        """
        start_step = start_frame * _STEPS_PER_FRAME
        end_frame = start_frame + segment_frames
        first = int(np.searchsorted(self.step, start_step))
        end = len(self.step)
        if end_frame < self.num_frames:
            end = int(np.searchsorted(self.step, end_frame * _STEPS_PER_FRAME))
        events = self.ids[first:end].copy()
        events[:, _SHIFT] = self.vocabulary.encode("shift", self.step[first:end] - start_step)
        ties = self._tie_section(first)
        rows = np.concatenate([ties, events])
        _blank_repeats(rows[:, _SHIFT], before=int(self.vocabulary.encode("shift", 0)))
        _blank_repeats(rows[:, _PROGRAM], before=PADDING_ID)
        _blank_repeats(rows[:, _VELOCITY], before=PADDING_ID)
        return _join(rows, len(ties), max_tokens)

    def _tie_section(self, index: int) -> np.ndarray:
        """Rows of the notes that sound before the event with that index, and of the closing tie."""
        if self.sounding is None:
            return self.ids[:0]
        ties = self.ids[self.sounding.before(index)]
        ties[:, _VELOCITY] = 0
        ties = ties[np.lexsort((ties[:, _PITCH], ties[:, _PROGRAM]))]
        closing = np.zeros((1, 4), np.int32)
        closing[0, _PITCH] = self.vocabulary.encode("tie", 0)
        return np.concatenate([ties, closing])


def _blank_repeats(column: np.ndarray, before: int) -> None:
    """Sets to 0, in place, each token that equals the one last set before it in its column."""
    present = np.flatnonzero(column)
    tokens = column[present]
    last = np.concatenate([[before], tokens[:-1]])
    column[present[tokens == last]] = 0


def _join(rows: np.ndarray, num_ties: int, max_tokens: int) -> SegmentTokens:
    """Joins as many whole rows as there is room for; a tie section is closed in any case."""
    ends = np.cumsum(np.count_nonzero(rows, axis=1))
    num_tokens = int(ends[-1]) + 1 if len(rows) else 1
    kept = rows[ends < max_tokens]
    if len(kept) < num_ties:
        kept = np.concatenate([rows[ends < max_tokens - 1], rows[num_ties - 1 : num_ties]])
    tokens = np.append(kept[kept != 0], np.int32(END_ID))
    return SegmentTokens(tokens, num_tokens, len(rows) - len(kept))


@dataclass(frozen=True, eq=False)
class SoundingNotes:
    """Finds the notes that sound at some point of a song without going through what was before.

    An onset makes its pitch and program sound until the next event of that pitch and program, as a
    listener would follow the tokens. At every 1024th event the sounding notes are written down.

    Attributes:
        until: int64 [events], for an onset the index of the event up to which it sounds (the number
            of events if it is never ended); -1 for events after which nothing sounds.
        listed: int64, event indices of the notes sounding at each checkpoint, one after the other.
        list_start: int64 [checkpoints + 1], where in `listed` those of a checkpoint start.
    """

    until: np.ndarray
    listed: np.ndarray
    list_start: np.ndarray

    def before(self, index: int) -> np.ndarray:
        """Onset events of the notes that sound right before the event with that index."""
        checkpoint = index // _CHECKPOINT_EVENTS
        listed = self.listed[self.list_start[checkpoint] : self.list_start[checkpoint + 1]]
        since = np.arange(checkpoint * _CHECKPOINT_EVENTS, index)
        candidates = np.concatenate([listed, since])
        return candidates[self.until[candidates] >= index]


def _index_sounding(note_key: np.ndarray, starts_sounding: np.ndarray) -> SoundingNotes:
    """Takes int [events], equal where pitch and program are, and bool [events]."""
    num_events = len(note_key)
    by_key = np.argsort(note_key, kind="stable")
    event, next_event = by_key[:-1], by_key[1:]
    same_key = note_key[event] == note_key[next_event]
    until = np.full(num_events, num_events)
    until[event[same_key]] = next_event[same_key]
    until[~starts_sounding] = -1

    onset = np.flatnonzero(until >= 0)
    first_checkpoint = onset // _CHECKPOINT_EVENTS + 1
    num_checkpoints = np.maximum(until[onset] // _CHECKPOINT_EVENTS - first_checkpoint + 1, 0)
    listed = np.repeat(onset, num_checkpoints)
    # Each onset in the list is at the checkpoints first, first + 1, ...
    list_position = np.cumsum(num_checkpoints) - num_checkpoints
    checkpoint = np.arange(len(listed)) + np.repeat(
        first_checkpoint - list_position, num_checkpoints
    )
    by_checkpoint = np.argsort(checkpoint, kind="stable")
    last = num_events // _CHECKPOINT_EVENTS
    list_start = np.searchsorted(checkpoint[by_checkpoint], np.arange(last + 2))
    return SoundingNotes(until, listed[by_checkpoint], list_start)
