"""Renderings on the page: takes with the parts that were rendered so far."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from spectrodiff.audio.samples import to_int16
from spectrodiff.core.constants import HOP_SAMPLES, MAX_LOG_MEL, MIN_LOG_MEL, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.general_midi import PROGRAM_NAMES
from spectrodiff.music.known_instruments import describe_changes
from spectrodiff.music.programs import map_program_numbers
from spectrodiff.music.steering import Part, Steering
from spectrodiff.player.songs import PlayedSong
from spectrodiff.synthesis.parts import Song
from spectrodiff.synthesis.synthesizer import Synthesizer
from spectrodiff.synthesis.take import Take


class Settings(NamedTuple):
    """Settings of a rendering from a segment on."""

    seed: int
    sampling: Sampling
    steering: Steering


class SentPart(NamedTuple):
    """A part as the page receives it."""

    segment: int
    first_sample: int
    audio: np.ndarray  # int16 [samples]
    first_frame: int
    spectrogram: np.ndarray  # uint8 [frames, 128], 255 is loudest
    compute_seconds: float
    last: bool


class OverError(Exception):
    """Ends the rendering of a segment that nobody waits for."""


def end_if(is_over: Callable[[], bool]) -> Callable[[int], None]:
    """Returns an `on_steps` that raises OverError when `is_over` returns True."""

    def on_steps(count: int) -> None:
        del count
        if is_over():
            raise OverError

    return on_steps


class Rendering:
    """A take, and the parts of it that were rendered so far. Safe to use from several threads.

    Args:
        id: what the page calls it.
        model: name of the model.
        synth: the model.
        song: the song.
        settings: settings from the start on.

    Attributes:
        take: the take; it is changed here alone.
        revision: number of times it was steered.
        kept_samples: audio that was still valid after it was steered last.
        forgotten: set when the server has forgotten it, so that its streams end.
    """

    def __init__(
        self, id: str, model: str, synth: Synthesizer, song: PlayedSong, settings: Settings
    ) -> None:
        self.id, self.model, self.synth, self.song = id, model, synth, song
        self.revision, self.kept_samples = 0, 0
        self.settings = settings
        self.forgotten = threading.Event()
        self._lock = threading.Lock()
        self._parts: list[SentPart] = []
        self.take = Take(
            synth.engine,
            song.notes,
            seed=settings.seed,
            steering=settings.steering,
            sampling=settings.sampling,
        )

    @property
    def segments(self) -> int:
        """Number of segments of the song."""
        return self.take.segments

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.take.score.tokens.num_samples / SAMPLE_RATE

    def rendered(self, segment: int) -> SentPart | None:
        """Returns the part of a segment if it has been rendered."""
        return self._parts[segment] if segment < len(self._parts) else None

    def part(
        self, segment: int, revision: int, is_over: Callable[[], bool] = lambda: False
    ) -> SentPart | None:
        """Returns the part of a segment, which is rendered if it is the next one.

        Args:
            segment: index of the segment, at most the number of rendered ones.
            revision: what the take was steered to.
            is_over: asked now and then; True ends the rendering.

        Returns:
            None if the take has been steered since `revision` or was forgotten, the song ends
            before the segment, or nobody waits for it any more.
        """
        on_steps = end_if(lambda: is_over() or self.forgotten.is_set())
        with self._lock:
            if self.revision == revision and segment == len(self._parts):
                start = time.perf_counter()
                try:
                    on_steps(0)
                    part = self.take.render(on_steps)
                except OverError:
                    part = None
                if part is not None:
                    self._parts.append(self._sent(part, time.perf_counter() - start))
            return self.rendered(segment) if self.revision == revision else None

    def steer(self, segment: int, settings: Settings) -> None:
        """Sets all settings from a segment on.

        Raises:
            ConfigError: if the segments before it have not been rendered, or a setting is
                impossible.
        """
        with self._lock:
            self.kept_samples = self.take.steer(
                segment, settings.steering, seed=settings.seed, **vars(settings.sampling)
            )
            del self._parts[segment:]
            self.settings = settings
            self.revision += 1

    def audio(self, revision: int) -> np.ndarray:
        """Returns the audio of the whole song, int16 [samples].

        Raises:
            ConfigError: if it is not all rendered, or the take has been steered since `revision`.
        """
        with self._lock:
            whole = len(self._parts) == self.segments and self.revision == revision
            if not whole:
                raise ConfigError(
                    self.song.title, "settings that stay while it is rendered", "others"
                )
            return np.concatenate([part.audio for part in self._parts])

    def described(self) -> dict[str, Any]:
        """Returns the take as the page takes it."""
        with self._lock:
            score, steering = self.take.score, self.settings.steering
            song, known = self.song, self.synth.tokenization
            left_out = [drum.key for drum in score.adaptation.left_out]
            sounding = np.zeros(len(song.notes), bool)
            sounding[score.rows] = ~(score.notes.is_drum & np.isin(score.notes.pitch, left_out))
            pitch = song.notes.pitch.copy()
            pitch[score.rows] = score.notes.pitch
            seconds = self.take.course.sound_seconds
            messages = describe_changes(score.adaptation, known)
            if score.tokens.overflows:
                count = sum(overflow.left_out_events for overflow in score.tokens.overflows)
                messages.append(f"too many notes at once: the last {count} are left out")
            replaced = {r.program: r.replaced_by for r in score.adaptation.replacements}
            return {
                "id": self.id,
                "revision": self.revision,
                "model": self.model,
                "seconds": self.seconds,
                "segments": self.segments,
                "segment_seconds": self.synth.segment_seconds,
                "messages": messages,
                "rows": [
                    self._described_row(
                        number,
                        steering,
                        replaced,
                        sounds=bool(sounding[song.row_of_note == number].any()),
                    )
                    for number in range(len(song.rows))
                ],
                "kept_samples": self.kept_samples,
                "kept_frames": self.kept_samples // HOP_SAMPLES,
                "notes": {
                    "onset": seconds(song.notes.onset_seconds).round(4).tolist(),
                    "offset": seconds(song.notes.offset_seconds).round(4).tolist(),
                    "pitch": pitch.tolist(),
                    "sounding": sounding.astype(int).tolist(),
                },
            }

    def _described_row(
        self, number: int, steering: Steering, replaced: Mapping[int, int], sounds: bool
    ) -> dict[str, Any]:
        row = self.song.rows[number]
        part: Part = "drums" if row.program is None else row.program
        if part in steering.muted or (row.program is None and not sounds):
            return {"sounds": None, "name": "", "replaced": False}
        if row.program is None:
            return {"sounds": None, "name": "drums", "replaced": False}
        program = steering.programs.get(row.program, row.program)
        if program in replaced:
            target = replaced[program]
            return {"sounds": target, "name": PROGRAM_NAMES[target], "replaced": True}
        mapped = map_program_numbers(np.array([program]), self.synth.tokenization.program_map)[0]
        return {"sounds": int(mapped), "name": PROGRAM_NAMES[program], "replaced": False}

    def _sent(self, part: Song, compute_seconds: float) -> SentPart:
        first_sample, first_frame = 0, 0
        if self._parts:
            before = self._parts[-1]
            first_sample = before.first_sample + len(before.audio)
            first_frame = before.first_frame + len(before.spectrogram)
        number = len(self._parts)
        return encode_part(
            part, number, first_sample, first_frame, compute_seconds, number == self.segments - 1
        )


def encode_part(
    part: Song,
    segment: int,
    first_sample: int,
    first_frame: int,
    compute_seconds: float,
    last: bool,
) -> SentPart:
    """Returns a part in the numbers that the page draws and plays."""
    share = (part.log_mel - MIN_LOG_MEL) / (MAX_LOG_MEL - MIN_LOG_MEL)
    spectrogram = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    audio = to_int16(part.audio)
    return SentPart(segment, first_sample, audio, first_frame, spectrogram, compute_seconds, last)
