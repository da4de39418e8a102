"""Rendering of songs: a thread generates features while those before are inverted."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence

import numpy as np

from spectrodiff.audio.features import unscale
from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.inverter import InversionStream, Inverter, invert
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.ahead import ahead
from spectrodiff.synthesis.meter import Meter
from spectrodiff.synthesis.segments.model import SegmentModel
from spectrodiff.synthesis.songs import Segment, generate_songs, group_songs

# Number of segments that wait at most for their inversion; 8 MB at the released lengths. Generation
# goes on while a long song is inverted.
WAITING_SEGMENTS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Song:
    """A rendered song, or a part of one.

    Attributes:
        audio: float32 [samples] in [-1, 1].
        sample_rate: of the audio, in Hz.
        log_mel: the features it was inverted from, float32 [frames, 128], unscaled.
    """

    audio: np.ndarray
    sample_rate: int
    log_mel: np.ndarray


def render_songs(
    model: SegmentModel,
    inverter: Inverter,
    songs: Sequence[SongTokens],
    *,
    seed: int,
    batch_size: int,
    progress: bool,
) -> Iterator[tuple[int, Song]]:
    """Renders songs side by side.

    Args:
        model: generates segments.
        inverter: turns features into audio.
        songs: tokens.
        seed: of the randomness.
        batch_size: number of songs per batch.
        progress: show the progress.

    Yields:
        The number and the audio of each song, as soon as it is done.
    """
    groups = group_songs([len(song.tokens) for song in songs], batch_size)
    features: dict[int, list[np.ndarray]] = {number: [] for number in range(len(songs))}
    with _generated(model, songs, groups, seed, progress, WAITING_SEGMENTS) as segments:
        for segment in segments:
            tokens, done = songs[segment.song], features[segment.song]
            done.append(segment.scaled_mel)
            if len(done) == len(tokens.tokens):
                log_mel = np.asarray(unscale(np.concatenate(done)[: tokens.num_frames]))
                done.clear()
                audio = invert(inverter, log_mel)[: tokens.num_samples]
                yield segment.song, Song(audio, SAMPLE_RATE, log_mel)


def stream_song(
    model: SegmentModel, inverter: Inverter, song: SongTokens, *, seed: int, progress: bool
) -> Iterator[Song]:
    """Renders a song and yields it part by part; the arguments are those of `render_songs`."""
    inversion = InversionStream(inverter)
    log_mel = np.zeros((0, model.config.mel_bins), np.float32)
    done = 0  # samples yielded so far
    with _generated(model, [song], [[0]], seed, progress, waiting=1) as segments:
        for segment in segments:
            frames = np.asarray(unscale(segment.scaled_mel))
            frames = frames[: song.num_frames - segment.number * len(frames)]
            log_mel = np.concatenate([log_mel, frames])
            audio = inversion.push(frames)
            if segment.number == len(song.tokens) - 1:
                audio = np.concatenate([audio, inversion.finish()])
            complete = len(audio) // HOP_SAMPLES
            yield Song(audio[: song.num_samples - done], SAMPLE_RATE, log_mel[:complete])
            log_mel, done = log_mel[complete:], done + len(audio)


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
) -> Iterator[Iterator[Segment]]:
    """Generates the segments of songs, group by group, in a thread that leaving this ends."""
    closed = threading.Event()
    count = sum(len(song.tokens) for song in songs)
    seconds = model.config.target_frames * HOP_SAMPLES / SAMPLE_RATE
    with Meter(count, model.steps, seconds, enabled=progress) as meter:

        def on_steps(count: int) -> None:
            if closed.is_set():
                raise _ClosedError
            meter.steps_done(count)

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
