"""Takes: renderings of a song that can be steered at any moment of what is rendered."""

import dataclasses
from collections.abc import Callable
from typing import Self, Unpack

import numpy as np

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling, SamplingChanges
from spectrodiff.music.known_instruments import Adaptation, adapt
from spectrodiff.music.notes import Notes
from spectrodiff.music.steering import Course, Steering, check_steering
from spectrodiff.music.tokenizer import SongTokens, tokenize_adapted
from spectrodiff.synthesis.engine import Continuation, Engine, check_seed
from spectrodiff.synthesis.parts import Song
from spectrodiff.synthesis.segments.model import overlap_of
from spectrodiff.synthesis.songs import song_key


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """Notes of a take as they sound, with all of its steering.

    Attributes:
        notes: steered notes, in sound time; instruments are those of the song.
        rows: int64 [len(notes)], the row of each note in the song.
        adaptation: the notes with instruments that the model knows, and what was changed.
        tokens: of all segments.
    """

    notes: Notes
    rows: np.ndarray
    adaptation: Adaptation
    tokens: SongTokens


class Take:
    """One rendering of a song, segment by segment, that can be steered while it plays.

    Steered at a segment, the song goes on from there with other settings: what was rendered from
    this segment on is forgotten, and the frames before it are the context. The parts of a take that
    is never steered are those of `Synthesizer.stream`.

    Made by `Synthesizer.take`; an iterator of parts. Not for several threads at once.

    Args:
        engine: the model.
        notes: the song.
        seed: seed of the noise.
        steering: instruments, transposition, tempo and mutes from the start on.
        sampling: sampling settings; by default the model's own.

    Attributes:
        score: the notes as they sound.

    Raises:
        ConfigError: if a setting is impossible.
    """

    def __init__(
        self,
        engine: Engine,
        notes: Notes,
        *,
        seed: int = 0,
        steering: Steering | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self._engine, self._notes = engine, notes
        self._sampling, self._seed = sampling or engine.sampling, seed
        self._course = Course(steering)
        self._chosen: dict[int, int] = {}
        # What the segments before each number leave, so that the take can go on from any of them.
        self._before = [Continuation(engine, overlap_of(self._sampling, engine.config))]
        self.steer(0)

    @property
    def course(self) -> Course:
        """The steering over the whole time of the song."""
        return self._course

    @property
    def segments(self) -> int:
        """Number of segments of the song."""
        return len(self.score.tokens.tokens)

    @property
    def rendered(self) -> int:
        """Number of segments rendered so far."""
        return len(self._before) - 1

    @property
    def samples(self) -> int:
        """Number of samples of audio rendered so far."""
        return self._before[-1].parts.samples

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Song:
        """Renders the next segment, and returns the part of the song that is ready with it."""
        part = self.render()
        if part is None:
            raise StopIteration
        return part

    def render(self, on_steps: Callable[[int], None] | None = None) -> Song | None:
        """Renders the next segment, and returns the part of the song that is ready with it.

        Args:
            on_steps: called now and then with the number of sampling steps since the last call; an
                error that it raises ends the rendering of the segment.

        Returns:
            The last part has the rest of the song; None after it.
        """
        number, tokens = self.rendered, self.score.tokens
        if number >= self.segments:
            return None
        song = self._before[-1].copy()
        frames = song.generate(self._model, tokens.tokens[number], self._key, on_steps)
        frames = frames[: tokens.num_frames - number * len(frames)]
        last = number == self.segments - 1
        if last:
            part = song.parts.finish(frames, tokens.notes, tokens.num_samples)
        else:
            part = song.parts.push(frames, tokens.notes)
        self._before.append(song)
        return part

    def steer(
        self,
        segment: int,
        steering: Steering | None = None,
        *,
        seed: int | None = None,
        **sampling: Unpack[SamplingChanges],
    ) -> int:
        """Changes settings from a segment on, and forgets what was rendered from there on.

        Settings that are left out stay as they were at the end of the song.

        Args:
            segment: index of the segment, 0 up to the number of rendered ones.
            steering: instruments, transposition, tempo and mutes.
            seed: seed of the noise.
            **sampling: steps, guidance, sampler and other sampling settings.

        Returns:
            Number of samples of audio that are kept.

        Raises:
            ConfigError: if a setting is impossible, or the segments before are not rendered yet.
        """
        if not (isinstance(segment, int) and 0 <= segment <= self.rendered):
            expected = f"a segment in 0..{self.rendered}, those rendered so far and the next"
            raise ConfigError("segment", expected, f"{segment!r}")
        seed = check_seed(self._seed if seed is None else seed)
        changed = self._sampling.but(**sampling)
        self._engine.check_overlap(changed, self._sampling)
        model = self._engine.segments(changed)
        steering = check_steering(self._course.last if steering is None else steering)
        course = Course(steering)
        if segment:
            seconds = segment * self._engine.segment_seconds(self._sampling)
            course = self._course.steered(seconds, steering)
        score = self._read(course)
        # All is valid: nothing has been changed before.
        self._model, self._course, self.score = model, course, score
        self._sampling, self._seed = changed, seed
        self._chosen |= {r.program: r.replaced_by for r in score.adaptation.replacements}
        self._key = song_key(seed, score.tokens.tokens)
        del self._before[segment + 1 :]
        return self.samples

    def _read(self, course: Course) -> Score:
        notes, rows = course.apply(self._notes)
        known, config = self._engine.tokenization, self._engine.config
        adaptation = adapt(notes, known, chosen=self._chosen, strict=False)
        tokens = tokenize_adapted(
            adaptation.notes,
            known,
            config.note_tokens,
            config.target_frames,
            overlap_of(self._sampling, config),
        )
        return Score(notes, rows, adaptation, tokens)
