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
    """A note in score time; the offset is infinite while its key is held."""

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
        self._taken: list[_LiveNote] = []
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
            for row in zip(*(column.tolist() for column in columns), strict=True):
                self._push(_LiveNote(*row))

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
                self._course = self._course.steered(self.seconds, steering)
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
            # Long enough for the tokens to tell its end from its start.
            shortest = note.onset_seconds + 1 / STEPS_PER_SECOND
            note.offset_seconds = max(offset_seconds, shortest)

    def _next_tokens(self) -> np.ndarray:
        """Takes the notes of the next segment and returns its tokens, int32 [N]."""
        config, tokenization = self._engine.config, self._engine.tokenization
        start, end = self.seconds, self.seconds + self.segment_seconds
        score_start, score_end = map(self._course.score_seconds, (start, end))
        while self._coming and self._coming[0][0] < score_end:
            self._taken.append(heapq.heappop(self._coming)[2])
        self._forget(score_start)

        onset = min((note.onset_seconds for note in self._taken), default=score_start)
        # Both origins are whole, the second one with a whole number of segments, so that moving
        # them does not change how times are rounded.
        score_origin = math.floor(min(onset, score_start))
        first = float(self._course.sound_seconds(np.array([onset]))[0])
        origin = math.floor(min(first, start) / config.target_frames) * config.target_frames
        notes = self._table(score_start, score_end, score_origin)
        steered, _ = self._course.moved(origin, score_origin).apply(notes)
        steered = dataclasses.replace(steered, total_seconds=end - origin + self.segment_seconds)
        adaptation = adapt(steered, tokenization, chosen=self._chosen, strict=False)
        self._chosen |= {r.program: r.replaced_by for r in adaptation.replacements}
        self._report(adaptation)
        events = tokenization.index(adaptation.notes)
        frame = self._taken_segments * config.target_frames - round(origin / FRAME_SECONDS)
        segment = events.segment(frame, config.note_tokens, config.target_frames)
        if segment.left_out_events:
            logger.warning("live: too many notes at once; %d are left out", segment.left_out_events)
        return segment.padded(config.note_tokens)

    def _table(self, score_start: float, score_end: float, origin: float) -> Notes:
        """Returns the notes that sound in a segment, in score time from an origin on."""
        # Times far away from the segment make no difference to it.
        onset = [max(n.onset_seconds, score_start - FAR_SECONDS) for n in self._taken]
        offset = [min(n.offset_seconds, score_end + 1.0) for n in self._taken]
        onset_seconds = np.array(onset, np.float64) - origin
        return Notes(
            onset_seconds=onset_seconds,
            offset_seconds=np.maximum(np.array(offset, np.float64) - origin, onset_seconds),
            pitch=np.array([n.pitch for n in self._taken], np.int64),
            velocity=np.array([n.velocity for n in self._taken], np.int64),
            program=np.array([n.program for n in self._taken], np.int64),
            is_drum=np.array([n.is_drum for n in self._taken], np.bool_),
        )

    def _forget(self, score_seconds: float) -> None:
        """Drops notes and steering that segments from a moment of the score on do not need."""
        # Times are rounded to steps, some of them up to the moment.
        past = score_seconds - 2 * self._course.last.tempo / STEPS_PER_SECOND
        sounding = [note for note in self._taken if note.offset_seconds > past]
        began: dict[tuple[bool, int], float] = {}
        for note in sounding:
            pitch = note.is_drum, note.pitch
            began[pitch] = min(note.onset_seconds, began.get(pitch, math.inf))
        # A note may have ended another of its key that was to sound until later.
        ended: dict[tuple[bool, int, int], _LiveNote] = {}
        for note in self._taken:
            until = note.offset_seconds
            if until <= past and until > began.get((note.is_drum, note.pitch), math.inf):
                ended[note.key] = note
        self._taken = sorted([*ended.values(), *sounding], key=lambda note: note.onset_seconds)
        first = min((note.onset_seconds for note in self._taken), default=score_seconds)
        self._course = self._course.without_past(min(first, score_seconds))

    def _report(self, adaptation: Adaptation) -> None:
        """Logs changes to instruments that have not been logged yet."""
        changed: set[int | str] = {replacement.program for replacement in adaptation.replacements}
        changed |= {f"drum {drum.key}" for drum in adaptation.left_out}
        if changed - self._reported:
            known, model = self._engine.tokenization, self._engine.name
            logger.warning(describe(adaptation, known, song="live", model=model))
            self._reported |= changed
