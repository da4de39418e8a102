"""Songs that are played live: notes come in, audio goes out, for as long as one likes."""

import logging
import threading
from collections.abc import Iterator
from numbers import Integral
from typing import Unpack

import jax
import numpy as np

from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.core.errors import MidiError
from spectrodiff.diffusion.sampling import Sampling, SamplingChanges
from spectrodiff.music.known_instruments import Adaptation, adapt, describe
from spectrodiff.music.notes import Notes
from spectrodiff.music.played import NoteKey, PlayedNotes
from spectrodiff.music.steering import Steering, check_steering
from spectrodiff.music.tones import RELEASE_SECONDS
from spectrodiff.synthesis.engine import Continuation, Engine, check_seed
from spectrodiff.synthesis.parts import Song

logger = logging.getLogger(__name__)


class Live:
    """A song that grows while it is rendered, segment by segment, in bounded memory.

    Example::

        live = synth.live()
        live.note_on(60)
        part = live.pull()  # the audio of the first segment that the inverter can compute

    Notes are taken until the segment they are in is pulled; what comes later sounds from the start
    of the next segment on. Played to the clock, with segment k pulled when it has passed, one hears
    a note `latency_seconds` after it was played, and the computing time later. Notes that are
    pushed ahead of their time have no latency.

    Moments are in seconds of the audio, from 0. All methods can be called by several threads.

    Made by `Synthesizer.live`; an endless iterable of parts.

    Args:
        engine: the model.
        seed: seed of the noise.
        steering: instruments, transposition, tempo and mutes.
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
        self._engine, self._seed = engine, check_seed(seed)
        self._sampling = sampling or engine.sampling
        self._model = engine.segments(self._sampling)
        self._notes = PlayedNotes(
            None if steering is None else check_steering(steering),
            trim_overlaps=engine.tokenization.trim_overlaps,
            # The tones of notes sound a little longer than the notes.
            kept_seconds=max(self._model.overlap / FRAMES_PER_SECOND, RELEASE_SECONDS),
        )
        self._song = Continuation(engine, self._model.overlap)
        self._taken_segments = 0  # whose notes are in use
        self._lock, self._pulling = threading.Lock(), threading.Lock()
        self._chosen: dict[int, int] = {}
        self._reported: set[int | str] = set()

    @property
    def segment_seconds(self) -> float:
        """Seconds that a segment adds to the song."""
        return self._engine.segment_seconds(self._sampling)

    @property
    def latency_seconds(self) -> float:
        """Seconds from a note to its sound when played to the clock, without computing."""
        return self._engine.latency_seconds(self._sampling)

    @property
    def seconds(self) -> float:
        """Start of the next segment in seconds: notes can be pushed from this moment on."""
        return self._notes.start

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
            seconds: moment of the audio; by default, and if it has passed, as soon as possible.

        Raises:
            MidiError: if a value is out of range.
            ConfigError: if the moment is not finite.
        """
        if not all(isinstance(value, Integral) for value in (pitch, velocity, program)):
            got = f"{pitch!r}, {velocity!r}, {program!r}"
            raise MidiError("note", "whole pitch, velocity and program", got)
        # A table of one note checks the ranges.
        Notes([0.0], [0.0], [pitch], [velocity], [program], [is_drum])  # type: ignore[arg-type]
        with self._lock:
            self._notes.press(_key(pitch, program, is_drum), int(velocity), seconds)

    def note_off(
        self,
        pitch: int,
        *,
        program: int = 0,
        is_drum: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Ends a note; nothing happens if its key is not held.

        Args:
            pitch: MIDI pitch 0..127, of a drum its key.
            program: General MIDI program 0..127, as in `note_on`.
            is_drum: whether it is a drum.
            seconds: moment of the audio; by default, and if it has passed, as soon as possible.

        Raises:
            ConfigError: if the moment is not finite.
        """
        with self._lock:
            self._notes.release(_key(pitch, program, is_drum), seconds)

    def add(self, notes: Notes, *, seconds: float | None = None) -> None:
        """Adds a song or phrase, which the tempo applies to.

        Args:
            notes: the notes; their time 0 is at `seconds`.
            seconds: moment when it begins; by default, and if it has passed, as soon as possible.

        Raises:
            MidiError: if it is no note table.
            ConfigError: if the moment is not finite.
        """
        if not isinstance(notes, Notes):
            raise MidiError("live", "notes, as read_midi returns them", repr(notes)[:80])
        with self._lock:
            self._notes.add(notes, seconds)

    def steer(
        self,
        steering: Steering | None = None,
        *,
        seed: int | None = None,
        **sampling: Unpack[SamplingChanges],
    ) -> None:
        """Changes settings from the next segment on; those that are left out stay.

        Args:
            steering: instruments, transposition, tempo and mutes of notes that begin later.
            seed: seed of the noise.
            **sampling: steps, guidance, sampler and other sampling settings.

        Raises:
            ConfigError: if a setting is impossible.
        """
        changed = self._sampling.but(**sampling)
        self._engine.check_overlap(changed, self._sampling)
        model = self._engine.segments(changed)
        seed = self._seed if seed is None else check_seed(seed)
        if steering is not None:
            check_steering(steering)
        with self._lock:
            self._sampling, self._model, self._seed = changed, model, seed
            if steering is not None:
                self._notes.steer(steering)

    def pull(self) -> Song:
        """Renders the next segment, silence if there are no notes.

        Returns:
            The audio that is ready with it, and the frames it belongs to. Audio lags behind the
            segments by the inverter's reach: the first part is shorter.
        """
        with self._pulling:
            with self._lock:
                (tokens, notes, origin_frame), model = self._next_segment(), self._model
                seed = self._seed
                self._go_to(self._taken_segments + 1)
            try:
                # A song that grows has no tokens of its own to make a key of.
                frames = self._song.generate(model, tokens, jax.random.key(seed))
            except BaseException:
                with self._lock:
                    # The segment comes again, with the notes that it has.
                    self._go_to(self._taken_segments - 1)
                raise
            return self._song.parts.push(frames, notes, origin_frame=origin_frame)

    def finish(self) -> Song:
        """Returns the audio that the inverter has held back, at the end; nothing can follow it."""
        with self._pulling:
            return self._song.parts.finish()

    def __iter__(self) -> Iterator[Song]:
        """Pulls parts, endlessly."""
        while True:
            yield self.pull()

    def _go_to(self, segment: int) -> None:
        self._taken_segments = segment
        self._notes.start = segment * self.segment_seconds

    def _next_segment(self) -> tuple[np.ndarray, Notes, int]:
        """Takes the notes of the next segment.

        Returns:
            The tokens of the segment, int32 [N]; its notes; and the frame that is their time 0.
        """
        config, tokenization = self._engine.config, self._engine.tokenization
        end = self._notes.start + self.segment_seconds
        # Multiples of so many seconds are whole numbers of seconds and of segments.
        hop = self._engine.hop_frames(self._sampling)
        notes, origin = self._notes.sounding(end, hop)
        adaptation = adapt(notes, tokenization, chosen=self._chosen, strict=False)
        self._chosen |= {r.program: r.replaced_by for r in adaptation.replacements}
        self._report(adaptation)
        events = tokenization.index(adaptation.notes)
        origin_frame = round(origin * FRAMES_PER_SECOND)
        start = self._taken_segments * hop - self._model.overlap - origin_frame
        segment = events.segment(start, config.note_tokens, config.target_frames)
        if segment.left_out_events:
            logger.warning("live: too many notes at once; %d are left out", segment.left_out_events)
        return segment.padded(config.note_tokens), adaptation.notes, origin_frame

    def _report(self, adaptation: Adaptation) -> None:
        """Logs changes to instruments that have not been logged yet."""
        changed: set[int | str] = {replacement.program for replacement in adaptation.replacements}
        changed |= {f"drum {drum.key}" for drum in adaptation.left_out}
        if changed - self._reported:
            known, model = self._engine.tokenization, self._engine.name
            logger.warning(describe(adaptation, known, song="live", model=model))
            self._reported |= changed


def _key(pitch: int, program: int, is_drum: bool) -> NoteKey:
    return NoteKey(bool(is_drum), 0 if is_drum else int(program), int(pitch))
