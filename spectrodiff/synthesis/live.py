"""Songs that are played live: notes come in, audio goes out, for as long as one likes."""

import dataclasses
import heapq
import itertools
import logging
import math
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.known_instruments import Adaptation, adapt, describe
from spectrodiff.music.notes import Notes
from spectrodiff.music.steering import Course, Steering
from spectrodiff.music.vocabulary import STEPS_PER_SECOND
from spectrodiff.synthesis.engine import Continuation, Engine
from spectrodiff.synthesis.parts import Song

logger = logging.getLogger(__name__)

FRAME_SECONDS = HOP_SAMPLES / SAMPLE_RATE
# Notes that began earlier before a segment count as if they began then.
FAR_SECONDS = 3600.0


@dataclasses.dataclass
class _LiveNote:
    """A note as it was played, in score time; the offset is infinite while its key is held."""

    onset_seconds: float
    offset_seconds: float
    pitch: int
    velocity: int
    program: int
    is_drum: bool
    late_seconds: float = 0.0  # that the note was moved, since its time had passed

    @property
    def key(self) -> tuple[bool, int, int]:
        """Key of an instrument that it is played on."""
        return self.is_drum, 0 if self.is_drum else self.program, self.pitch


@dataclasses.dataclass(eq=False)
class _Sound:
    """A steered note, in sound time; the offset is infinite until the segment that it is in."""

    note: _LiveNote
    onset_seconds: float
    offset_seconds: float
    pitch: int
    program: int

    @property
    def key(self) -> tuple[bool, int, int]:
        """Drum or not, program, and pitch."""
        return self.note.is_drum, self.program, self.pitch


class Live:
    """A song that grows while it is rendered, segment by segment, in bounded memory.

        live = synth.live()
        live.note_on(60)
        part = live.pull()  # the first segment: audio [samples] of about `segment_seconds`

    Notes are taken until the segment they are in is pulled; what comes later sounds from the start
    of the next segment on. Played to the clock, with segment k pulled when it has passed, one hears
    a note `latency_seconds` after it was played, and the computing time later. Notes that are
    pushed ahead of their time have no latency.

    Moments are in seconds of the audio, from 0. Notes can be pushed by other threads.

    Made by `Synthesizer.live`.

    Args:
        engine: the model.
        seed: of the randomness.
        steering: instruments, transposition and tempo.
        sampling: sampling settings; by default the model's own.

    Raises:
        ConfigError: if a setting is impossible.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        seed: int = 0,
        steering: Steering | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self._engine, self._seed = engine, seed
        self._sampling = sampling or engine.sampling
        self._model = engine.segments(self._sampling)
        self._course = Course(steering)
        self._song = Continuation(engine.inverter, engine.config.mel_bins)
        self._taken_segments = 0  # whose notes are in use
        self._lock, self._pulling = threading.Lock(), threading.Lock()
        self._count = itertools.count()
        # Notes that begin later, by onset; the number keeps the order of those at one time.
        self._coming: list[tuple[float, int, _LiveNote]] = []
        self._sounding: list[_Sound] = []
        self._held: dict[tuple[bool, int, int], _LiveNote] = {}
        self._chosen: dict[int, int] = {}
        self._reported: set[int | str] = set()

    @property
    def segment_seconds(self) -> float:
        """Length of a segment."""
        return self._engine.config.target_frames * FRAME_SECONDS

    @property
    def latency_seconds(self) -> float:
        """Time from a note to its sound when played to the clock, without computing."""
        return self.segment_seconds + self._engine.inverter.reach_frames * FRAME_SECONDS

    @property
    def seconds(self) -> float:
        """Start of the next segment: the first moment that notes can still be pushed for."""
        return self._taken_segments * self.segment_seconds

    def note_on(
        self,
        pitch: int,
        velocity: int = 90,
        *,
        program: int = 0,
        is_drum: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Begins a note, and ends the one that sounds on its key.

        Args:
            pitch: MIDI pitch 0..127, of a drum its key.
            velocity: 1..127.
            program: General MIDI program 0..127.
            is_drum: whether it is a drum.
            seconds: when; by default, and if that has passed, as soon as possible.

        Raises:
            MidiError: if a value is out of range.
        """
        one = Notes([0.0], [0.0], [pitch], [velocity], [program], [is_drum])  # type: ignore[arg-type]
        with self._lock:
            onset, late = self._moment(seconds)
            values = (int(one.pitch[0]), int(one.velocity[0]), int(one.program[0]), bool(is_drum))
            note = _LiveNote(onset, math.inf, *values, late)
            self._release(note.key, onset)
            self._held[note.key] = note
            self._push(note)

    def note_off(
        self,
        pitch: int,
        *,
        program: int = 0,
        is_drum: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Ends a note; nothing happens if its key is not held. Arguments are those of `note_on`."""
        with self._lock:
            key = (is_drum, 0 if is_drum else program, pitch)
            if key in self._held:
                late = self._held[key].late_seconds
                offset, _ = self._moment(None if seconds is None else seconds + late)
                self._release(key, offset)

    def add(self, notes: Notes, *, seconds: float | None = None) -> None:
        """Adds a song or phrase, which the tempo applies to.

        Args:
            notes: the notes; their time 0 is at `seconds`.
            seconds: when it begins; by default, and if that has passed, as soon as possible.
        """
        with self._lock:
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
                self._push(_LiveNote(onset, _after(onset, offset), *row))

    def steer(
        self, steering: Steering | None = None, *, seed: int | None = None, **sampling: Any
    ) -> None:
        """Changes settings from the next segment on; those that are left out stay.

        Args:
            steering: instruments, transposition and tempo of notes that begin later.
            seed: of the randomness.
            **sampling: steps, guidance, sampler and other sampling settings.

        Raises:
            ConfigError: if a setting is impossible.
        """
        changed = self._sampling.but(**sampling)
        model = self._engine.segments(changed)
        with self._lock:
            self._sampling, self._model = changed, model
            if steering is not None:
                # Notes that sound already are not affected: what was before is not needed.
                self._course = self._course.steered(self.seconds, steering).without_past(math.inf)
            if seed is not None:
                self._seed = seed

    def pull(self) -> Song:
        """Renders the next segment, silence if there are no notes.

        Returns:
            The audio that is ready with it, and the frames it belongs to. Audio lags behind the
            segments by the inverter's reach: the first part is shorter.
        """
        with self._pulling:
            with self._lock:
                tokens, model, seed = self._next_tokens(), self._model, self._seed
                self._taken_segments += 1
            # A song that grows has no tokens of its own to make a key of.
            frames = self._song.generate(model, tokens, jax.random.key(seed))
            return self._song.parts.push(frames)

    def finish(self) -> Song:
        """Returns the audio that the inverter has held back, at the end."""
        return self._song.parts.finish()

    def __iter__(self) -> Iterator[Song]:
        """Pulls parts, endlessly."""
        while True:
            yield self.pull()

    def _moment(self, seconds: float | None) -> tuple[float, float]:
        """Returns the time in the score for a moment of the audio, and how late that is."""
        first = self._course.score_seconds(self.seconds)
        if seconds is None:
            return first, 0.0
        if not math.isfinite(seconds):
            raise ConfigError("seconds", "a finite number", f"{seconds}")
        wanted = self._course.score_seconds(seconds)
        return max(wanted, first), max(first - wanted, 0.0)

    def _push(self, note: _LiveNote) -> None:
        heapq.heappush(self._coming, (note.onset_seconds, next(self._count), note))

    def _release(self, key: tuple[bool, int, int], offset_seconds: float) -> None:
        note = self._held.pop(key, None)
        if note is not None:
            note.offset_seconds = _after(note.onset_seconds, offset_seconds)

    def _next_tokens(self) -> np.ndarray:
        """Takes the notes of the next segment and returns its tokens, int32 [N]."""
        config, tokenization = self._engine.config, self._engine.tokenization
        start, end = self.seconds, self.seconds + self.segment_seconds
        self._forget(start)
        self._begin(end)
        first = min((sound.onset_seconds for sound in self._sounding), default=start)
        first = max(min(first, start), start - FAR_SECONDS)
        # Whole seconds and segments, so that times are rounded to the same steps as without it.
        origin = math.floor(first / config.target_frames) * config.target_frames
        notes = self._table(origin, end)
        adaptation = adapt(notes, tokenization, chosen=self._chosen, strict=False)
        self._chosen |= {r.program: r.replaced_by for r in adaptation.replacements}
        self._report(adaptation)
        events = tokenization.index(adaptation.notes)
        frame = self._taken_segments * config.target_frames - round(origin / FRAME_SECONDS)
        segment = events.segment(frame, config.note_tokens, config.target_frames)
        if segment.left_out_events:
            logger.warning("live: too many notes at once; %d are left out", segment.left_out_events)
        return segment.padded(config.note_tokens)

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
            if self._engine.tokenization.trim_overlaps:
                self._trim(sound)
            self._sounding.append(sound)

    def _trim(self, new: _Sound) -> None:
        """Ends the notes on the key of a new one, as the tokenization would if it saw all notes."""
        for sound in self._sounding:
            if sound.key == new.key:
                sound.offset_seconds = min(sound.offset_seconds, new.onset_seconds)
        self._sounding = [s for s in self._sounding if s.onset_seconds < s.offset_seconds]

    def _table(self, origin: float, end: float) -> Notes:
        """Returns the notes that sound until the end of a segment, in seconds after an origin."""
        onset = np.array([sound.onset_seconds for sound in self._sounding])
        # Notes that go on are not seen to end.
        offset = np.array([min(sound.offset_seconds, end + 1.0) for sound in self._sounding])
        return Notes(
            onset_seconds=np.maximum(onset - origin, 0.0),
            offset_seconds=np.maximum(offset - origin, 0.0),
            pitch=np.array([sound.pitch for sound in self._sounding], np.int64),
            velocity=np.array([sound.note.velocity for sound in self._sounding], np.int64),
            program=np.array([sound.program for sound in self._sounding], np.int64),
            is_drum=np.array([sound.note.is_drum for sound in self._sounding], np.bool_),
            total_seconds=end - origin + 1.0,
        )

    def _forget(self, start: float) -> None:
        """Drops notes that segments from a moment on do not need."""
        # Times are rounded to steps, some of them up to the moment.
        past = start - 2 / STEPS_PER_SECOND
        # A note may have ended another of its pitch that was to sound until later, by its onset or
        # its offset, and of another program if the model hears both as the same.
        began: dict[tuple[bool, int], float] = {}
        last_onset: dict[tuple[bool, int, int], _Sound] = {}
        last_offset: dict[tuple[bool, int, int], _Sound] = {}
        for sound in self._sounding:
            key = sound.key
            if sound.offset_seconds > past:
                began.setdefault((sound.note.is_drum, sound.pitch), sound.onset_seconds)
                continue
            last_onset[key] = sound
            if sound.offset_seconds >= last_offset.setdefault(key, sound).offset_seconds:
                last_offset[key] = sound
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

    def _report(self, adaptation: Adaptation) -> None:
        """Logs changes to instruments that have not been logged yet."""
        changed: set[int | str] = {replacement.program for replacement in adaptation.replacements}
        changed |= {f"drum {drum.key}" for drum in adaptation.left_out}
        if changed - self._reported:
            known, model = self._engine.tokenization, self._engine.name
            logger.warning(describe(adaptation, known, song="live", model=model))
            self._reported |= changed


def _after(onset_seconds: float, offset_seconds: float) -> float:
    """Returns an offset that is later than the onset, so that the note has an end."""
    shortest = onset_seconds + 1 / STEPS_PER_SECOND
    return offset_seconds if offset_seconds > onset_seconds else shortest
