"""Sorted onsets and offsets of a song, and the token ids of any segment of it.

Indexing a song takes O(n log n) once; the cost of a segment then depends only on its own events.
"""

from dataclasses import dataclass

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE, SEGMENT_FRAMES
from spectrodiff.music.notes import Notes, map_programs
from spectrodiff.music.programs import ProgramMap
from spectrodiff.music.vocabulary import END_ID, PADDING_ID, STEPS_PER_SECOND, Vocabulary

MAX_TOKENS = 2048  # N of the released models

_STEPS_PER_FRAME = STEPS_PER_SECOND * HOP_SAMPLES // SAMPLE_RATE
CHECKPOINT_EVENTS = 1024
# Columns of the ids of one event; 0 where the event has no such token.
_SHIFT, _PROGRAM, _VELOCITY, _PITCH = range(4)


def count_frames(num_samples: int) -> int:
    """Returns the number of spectrogram frames of a song; the last may be partial or empty."""
    return num_samples // HOP_SAMPLES + 1


def index_notes(
    notes: Notes,
    vocabulary: Vocabulary,
    *,
    ties: bool = True,
    program_map: ProgramMap = "full",
) -> "SongEvents":
    """Sorts the onsets and offsets of a song for the tokenization of its segments.

    Args:
        notes: the song; may have no notes.
        vocabulary: maps events to ids.
        ties: whether segments start with a tie section, which lists the notes already sounding.
        program_map: set of instruments that programs are reduced to; "flat" omits program tokens.
    """
    notes = map_programs(notes, program_map)
    by_key = np.lexsort((notes.pitch, notes.program, notes.is_drum))
    pitched = by_key[~notes.is_drum[by_key]]
    # The sort by time is stable and keeps this order at equal times: offsets first, drums last.
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
    sounding = _index_sounding(note_key, is_onset & ~is_drum) if ties else None
    return _song_events(notes, vocabulary, seconds, ids, sounding)


def index_onsets(notes: Notes, vocabulary: Vocabulary) -> "SongEvents":
    """Sorts the onsets of a song; its segments then have shift and pitch tokens only.

    Drums have the tokens of notes of the same pitch. Onsets of one time are sorted by pitch.

    Args:
        notes: the song; may have no notes.
        vocabulary: maps events to ids.
    """
    order = np.lexsort((notes.pitch, notes.onset_seconds))
    ids = np.zeros((len(order), 4), np.int32)
    ids[:, _PITCH] = vocabulary.encode("pitch", notes.pitch[order])
    return _song_events(notes, vocabulary, notes.onset_seconds[order], ids, None)


def _song_events(
    notes: Notes,
    vocabulary: Vocabulary,
    seconds: np.ndarray,
    ids: np.ndarray,
    sounding: "SoundingNotes | None",
) -> "SongEvents":
    return SongEvents(
        vocabulary=vocabulary,
        num_samples=int(notes.total_seconds * SAMPLE_RATE),
        step=np.rint(seconds * STEPS_PER_SECOND).astype(np.int64),
        ids=ids,
        sounding=sounding,
    )


@dataclass(frozen=True, eq=False)
class SegmentTokens:
    """Tokens of one segment.

    Attributes:
        tokens: int32 [n], terminated by an end-of-sequence id, not padded.
        num_tokens: number of tokens of all its events; larger than n if it was truncated.
        left_out_events: number of onsets, offsets and tied notes truncated at the end.
    """

    tokens: np.ndarray
    num_tokens: int
    left_out_events: int

    def padded(self, length: int) -> np.ndarray:
        """Returns the tokens padded to a length, int32 [length]."""
        return np.pad(self.tokens, (0, length - len(self.tokens)), constant_values=PADDING_ID)


@dataclass(frozen=True, eq=False)
class SongEvents:
    """Events of a song in order of time, created by `index_notes`.

    Attributes:
        vocabulary: maps events to ids.
        num_samples: length of the song at 16 kHz.
        step: time of each event in 1/100 s since the start of the song, int64 [events].
        ids: token ids of each event, int32 [events, 4]: shift (filled in per segment), program,
            velocity, pitch or drum.
        sounding: index of sounding notes for tie sections; None omits tie sections.
    """

    vocabulary: Vocabulary
    num_samples: int
    step: np.ndarray
    ids: np.ndarray
    sounding: "SoundingNotes | None"

    @property
    def num_frames(self) -> int:
        """Number of spectrogram frames of the song."""
        return count_frames(self.num_samples)

    def segment(
        self,
        start_frame: int,
        max_tokens: int = MAX_TOKENS,
        segment_frames: int = SEGMENT_FRAMES,
    ) -> SegmentTokens:
        """Returns the tokens of frames [start_frame, start_frame + segment_frames).

        A segment that reaches the last frame of the song contains all events up to its end.

        Args:
            start_frame: first frame; frames before and after the song are silent.
            max_tokens: maximum number of tokens, at least 2.
            segment_frames: length of the segment in frames.
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

    def token_counts(
        self, start_frames: np.ndarray, segment_frames: int = SEGMENT_FRAMES
    ) -> np.ndarray:
        """Counts the tokens of many segments at once, without building them.

        Args:
            start_frames: int [segments], first frame of each, as in `segment`.
            segment_frames: length of the segments in frames.

        Returns:
            `num_tokens` of each segment, int64 [segments].
        """
        start_step = start_frames * _STEPS_PER_FRAME
        end_frame = start_frames + segment_frames
        first = np.searchsorted(self.step, start_step)
        end = np.searchsorted(self.step, end_frame * _STEPS_PER_FRAME)
        end = np.where(end_frame < self.num_frames, end, len(self.step))
        ties, tied_program = self._count_ties(first)
        shifts = _count_runs(self.step, first, end, before=start_step)
        velocities = _count_runs(self.ids[:, _VELOCITY], first, end, before=PADDING_ID)
        with_program = self.ids[:, _PROGRAM] != PADDING_ID
        place = np.concatenate([[0], np.cumsum(with_program)])
        programs = _count_runs(
            self.ids[with_program, _PROGRAM], place[first], place[end], before=tied_program
        )
        return ties + shifts + programs + velocities + (end - first) + 1

    def _count_ties(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts the tokens of tie sections before events; returns their last programs, too."""
        last_program = np.full(len(index), PADDING_ID)
        if self.sounding is None:
            return np.zeros(len(index), np.int64), last_program
        count = np.ones(len(index), np.int64)  # the closing tie
        onset = np.flatnonzero(self.sounding.until >= 0)
        programs = self.ids[onset, _PROGRAM]
        for program in np.unique(programs):
            own = onset[programs == program]
            begun = np.searchsorted(own, index)
            ended = np.searchsorted(np.sort(self.sounding.until[own]), index)
            sounding = begun - ended
            count += sounding + ((sounding > 0) & (program != PADDING_ID))
            last_program = np.where(sounding > 0, program, last_program)
        return count, last_program

    def _tie_section(self, index: int) -> np.ndarray:
        """Returns rows for the notes sounding before an event, and for the closing tie."""
        if self.sounding is None:
            return self.ids[:0]
        ties = self.ids[self.sounding.before(index)]
        ties[:, _VELOCITY] = 0
        ties = ties[np.lexsort((ties[:, _PITCH], ties[:, _PROGRAM]))]
        closing = np.zeros((1, 4), np.int32)
        closing[0, _PITCH] = self.vocabulary.encode("tie", 0)
        return np.concatenate([ties, closing])


def _count_runs(
    values: np.ndarray, first: np.ndarray, end: np.ndarray, before: np.ndarray | int
) -> np.ndarray:
    """Counts the values of ranges [first, end) that differ from the one before.

    Args:
        values: [n].
        first: int [ranges], in 0..n.
        end: int [ranges], not below `first`.
        before: what the first value of each range is compared with.
    """
    if not len(values):
        return np.zeros(len(first), np.int64)
    changes = np.concatenate([[0, 0], np.cumsum(values[1:] != values[:-1])])
    inside = np.minimum(first, len(values) - 1)
    runs = (values[inside] != before) + changes[end] - changes[inside + 1]
    return np.where(end > first, runs, 0)


def _blank_repeats(column: np.ndarray, before: int) -> None:
    """Sets repeated tokens of a column to 0, in place; `before` is the token before the first."""
    present = np.flatnonzero(column)
    tokens = column[present]
    last = np.concatenate([[before], tokens[:-1]])
    column[present[tokens == last]] = 0


def _join(rows: np.ndarray, num_ties: int, max_tokens: int) -> SegmentTokens:
    """Joins as many complete rows as fit; always keeps the closing tie of a tie section."""
    ends = np.cumsum(np.count_nonzero(rows, axis=1))
    num_tokens = int(ends[-1]) + 1 if len(rows) else 1
    kept = rows[ends < max_tokens]
    if len(kept) < num_ties:
        kept = np.concatenate([rows[ends < max_tokens - 1], rows[num_ties - 1 : num_ties]])
    tokens = np.append(kept[kept != 0], np.int32(END_ID))
    return SegmentTokens(tokens, num_tokens, len(rows) - len(kept))


@dataclass(frozen=True, eq=False)
class SoundingNotes:
    """Index of the notes that are sounding at any event of a song.

    A note sounds from its onset to the next event of its pitch and program, as a decoder would
    read the tokens. The sounding notes are stored at every 1024th event (a checkpoint), so that a
    lookup scans at most 1024 events.

    Attributes:
        until: int64 [events], for an onset the index of the event that ends it (the number of
            events if there is none); -1 for other events.
        listed: int64, event indices of the notes sounding at each checkpoint, concatenated.
        list_start: int64 [checkpoints + 1], start of each checkpoint's entries in `listed`.
    """

    until: np.ndarray
    listed: np.ndarray
    list_start: np.ndarray

    def before(self, index: int) -> np.ndarray:
        """Returns the onset events of the notes sounding immediately before an event."""
        checkpoint = index // CHECKPOINT_EVENTS
        listed = self.listed[self.list_start[checkpoint] : self.list_start[checkpoint + 1]]
        since = np.arange(checkpoint * CHECKPOINT_EVENTS, index)
        candidates = np.concatenate([listed, since])
        return candidates[self.until[candidates] >= index]


def _index_sounding(note_key: np.ndarray, starts_sounding: np.ndarray) -> SoundingNotes:
    """Builds the index of sounding notes.

    Args:
        note_key: int [events], unique for each pair of pitch and program.
        starts_sounding: bool [events], True for onsets of pitched notes.
    """
    num_events = len(note_key)
    by_key = np.argsort(note_key, kind="stable")
    event, next_event = by_key[:-1], by_key[1:]
    same_key = note_key[event] == note_key[next_event]
    until = np.full(num_events, num_events)
    until[event[same_key]] = next_event[same_key]
    until[~starts_sounding] = -1

    onset = np.flatnonzero(until >= 0)
    first_checkpoint = onset // CHECKPOINT_EVENTS + 1
    num_checkpoints = np.maximum(until[onset] // CHECKPOINT_EVENTS - first_checkpoint + 1, 0)
    listed = np.repeat(onset, num_checkpoints)
    # Each listed onset appears at its checkpoints first, first + 1, ...
    list_position = np.cumsum(num_checkpoints) - num_checkpoints
    checkpoint = np.arange(len(listed)) + np.repeat(
        first_checkpoint - list_position, num_checkpoints
    )
    by_checkpoint = np.argsort(checkpoint, kind="stable")
    last = num_events // CHECKPOINT_EVENTS
    list_start = np.searchsorted(checkpoint[by_checkpoint], np.arange(last + 2))
    return SoundingNotes(until, listed[by_checkpoint], list_start)
