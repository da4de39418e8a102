"""Rendering of songs: a thread generates features while those before are inverted."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from spectrodiff.audio.features import unscale
from spectrodiff.core.constants import FRAMES_PER_SECOND, SAMPLE_RATE
from spectrodiff.inverter import Inverter, SongInversion
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.ahead import ahead
from spectrodiff.synthesis.meter import Meter
from spectrodiff.synthesis.parts import PartStream, Song
from spectrodiff.synthesis.segments.joins import Joins
from spectrodiff.synthesis.segments.model import SegmentModel
from spectrodiff.synthesis.songs import Segment, generate_songs, group_songs

# Number of segments that wait at most for their inversion; 8 MB at the released lengths. Generation
# goes on while a long song is inverted.
WAITING_SEGMENTS = 64
# Longer songs are inverted when all their features are there. Until then, audio would take 2.5
# times their memory, for every song side by side.
LONGEST_EARLY_FRAMES = 600 * FRAMES_PER_SECOND


def render_songs(
    model: SegmentModel,
    inverter: Inverter,
    songs: Sequence[SongTokens],
    *,
    seed: int,
    batch_size: int,
    progress: bool,
    on_steps: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, Song]]:
    """Renders songs side by side.

    Args:
        model: generates segments.
        inverter: turns features into audio.
        songs: tokens.
        seed: of the randomness.
        batch_size: number of songs that are rendered side by side.
        progress: show the progress.
        on_steps: called now and then with the number of steps since the last call; an error that it
            raises ends the rendering.

    Yields:
        The number and the audio of each song, as soon as it is done.
    """
    groups = group_songs([len(song.tokens) for song in songs], batch_size)
    begun: dict[int, _Begun] = {}
    with _generated(model, songs, groups, seed, progress, WAITING_SEGMENTS, on_steps) as segments:
        for segment in segments:
            if segment.number == 0:
                begun[segment.song] = _Begun(model.overlap, inverter, songs[segment.song])
            begun[segment.song].add(unscale(segment.scaled_mel))
            if segment.number == len(songs[segment.song].tokens) - 1:
                yield segment.song, begun.pop(segment.song).finish()


class _Begun:
    """A song that is being rendered: each window is inverted as soon as its features are there."""

    def __init__(self, overlap: int, inverter: Inverter, song: SongTokens) -> None:
        self._song, self._joins = song, Joins(overlap)
        self._features: list[np.ndarray] = []
        self._inversion = SongInversion(inverter, song.num_frames, song.notes)
        self._early = song.num_frames <= LONGEST_EARLY_FRAMES

    def add(self, frames: np.ndarray) -> None:
        """Takes the frames that the next segment adds."""
        frames = self._joins.add(frames, self._song.notes)
        # The last segment is longer than the rest of the song.
        frames = frames[: self._song.num_frames - sum(map(len, self._features))]
        if len(frames):
            self._features.append(frames)
            if self._early:
                self._inversion.push(frames)

    def finish(self) -> Song:
        """Returns the whole song."""
        log_mel = np.concatenate(self._features)
        self._features.clear()
        if not self._early:
            self._inversion.push(log_mel)
        audio = self._inversion.finish()[: self._song.num_samples]
        return Song(audio, SAMPLE_RATE, log_mel)


def stream_song(
    model: SegmentModel, inverter: Inverter, song: SongTokens, *, seed: int, progress: bool
) -> Iterator[Song]:
    """Renders a song and yields it part by part; the arguments are those of `render_songs`."""
    parts = PartStream(inverter, model.overlap)
    with _generated(model, [song], [[0]], seed, progress, waiting=1) as segments:
        for segment in segments:
            frames = unscale(segment.scaled_mel)
            frames = frames[: song.num_frames - segment.number * len(frames)]
            if segment.number < len(song.tokens) - 1:
                yield parts.push(frames, song.notes)
            else:
                yield parts.finish(frames, song.notes, song.num_samples)


class _ClosedError(Exception):
    """Ends the generation of a segment that nobody waits for any more."""


@contextlib.contextmanager
def _generated(
    model: SegmentModel,
    songs: Sequence[SongTokens],
    groups: Sequence[Sequence[int]],
    seed: int,
    progress: bool,
    waiting: int,
    asked_on_steps: Callable[[int], None] | None = None,
) -> Iterator[Iterator[Segment]]:
    """Generates the segments of songs, group by group, in a thread that leaving this ends."""
    closed = threading.Event()
    count = sum(len(song.tokens) for song in songs)
    seconds = (model.config.target_frames - model.overlap) / FRAMES_PER_SECOND
    with Meter(count, model.steps, seconds, enabled=progress) as meter:

        def on_steps(count: int) -> None:
            if closed.is_set():
                raise _ClosedError
            meter.steps_done(count)
            if asked_on_steps is not None:
                asked_on_steps(count)

        def generate() -> Iterator[Segment]:
            for group in groups:
                tokens = [songs[number].tokens for number in group]
                for segment in generate_songs(model, tokens, seed=seed, on_steps=on_steps):
                    meter.segment_done()
                    yield segment._replace(song=group[segment.song])

        with contextlib.closing(ahead(generate(), waiting)) as segments:
            try:
                yield segments
            finally:
                closed.set()
