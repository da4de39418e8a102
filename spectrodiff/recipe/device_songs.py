"""Rendered songs in a device's memory; training steps cut their examples there.

No part of a step runs on the host: examples are chosen on the device, and audio is transferred
once. Songs are added between calls, during training.

Axis letters: P songs, S samples of a song, E examples of a bucket, n tokens, B batch.
"""

import bisect
import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.core.constants import EXTRA_FRAMES, HOP_SAMPLES
from spectrodiff.core.errors import ConfigError
from spectrodiff.recipe.songs import RenderedSong
from spectrodiff.recipe.tones import draw_tones
from spectrodiff.training.examples import Batch

# Songs are transferred in blocks of one size, so that one program stores them.
BLOCK = 8
# Indices into the audio of all songs are 32-bit numbers.
MAX_SAMPLES = 2**31 - 1


class StoredExamples(NamedTuple):
    """Examples of one bucket; rows from `size` on are empty."""

    song: jax.Array  # int32 [E]
    start: jax.Array  # int32 [E], first target frame
    tokens: jax.Array  # int16 [E, n]
    size: jax.Array  # int32 []


class StoredAudio(NamedTuple):
    """Audio of all songs; rows from `size` on are silent."""

    samples: jax.Array  # int16 [P, S]: `lead_frames` of silence, song, EXTRA_FRAMES of silence
    size: jax.Array  # int32 []


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Maximum number of songs and examples, and their lengths.

    Attributes:
        songs: P.
        song_frames: length of a song.
        lead_frames: silence before each song, the context of its first example.
        examples_per_song: maximum number of examples of a song.
        buckets: maximum numbers of note tokens, ascending.
    """

    songs: int
    song_frames: int
    lead_frames: int
    examples_per_song: int
    buckets: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.songs * self.samples > MAX_SAMPLES:
            most = MAX_SAMPLES // self.samples
            raise ConfigError("songs in memory", f"at most {most}", str(self.songs))

    @property
    def samples(self) -> int:
        """S, length of a song with the silence around it."""
        return (self.lead_frames + self.song_frames + EXTRA_FRAMES) * HOP_SAMPLES


class DeviceSongs:
    """Songs and their examples on a device, in memory that is allocated once.

    Args:
        capacity: maximum number of songs, and their lengths.
    """

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._samples = jnp.zeros((capacity.songs, capacity.samples), jnp.int16)
        self._waiting: list[np.ndarray] = []
        self._stored = 0
        examples = capacity.songs * capacity.examples_per_song
        self._rows = [np.zeros((examples, 2), np.int32) for _ in capacity.buckets]
        self._tokens = [np.zeros((examples, length), np.int16) for length in capacity.buckets]
        self._counts = [0 for _ in capacity.buckets]
        self._sizes = [0 for _ in capacity.buckets]  # without examples of waiting songs
        self._tables: list[StoredExamples] = []

    def __str__(self) -> str:
        counts = ", ".join(
            f"{count} of up to {length} tokens"
            for count, length in zip(self._sizes, self.capacity.buckets, strict=True)
        )
        return f"{self._stored} songs; examples: {counts}"

    @property
    def num_songs(self) -> int:
        """Number of songs on the device."""
        return self._stored

    @property
    def num_examples(self) -> list[int]:
        """Number of examples of each bucket on the device."""
        return list(self._sizes)

    @property
    def full(self) -> bool:
        """True if no further song can be added."""
        return self._stored + len(self._waiting) >= self.capacity.songs

    def add(self, song: RenderedSong) -> None:
        """Adds a song to the next block."""
        capacity = self.capacity
        number = self._stored + len(self._waiting)
        lead = capacity.lead_frames * HOP_SAMPLES
        padded = np.zeros(capacity.samples, np.int16)
        audio = song.audio[: capacity.song_frames * HOP_SAMPLES]
        padded[lead : lead + len(audio)] = audio
        self._waiting.append(padded)
        for start, tokens in zip(song.starts, song.tokens, strict=True):
            bucket = bisect.bisect_left(capacity.buckets, len(tokens))
            row = self._counts[bucket]
            self._rows[bucket][row] = number, start
            self._tokens[bucket][row, : len(tokens)] = tokens
            self._counts[bucket] += 1

    def send(self, *, everything: bool = False) -> bool:
        """Transfers whole blocks of waiting songs to the device; returns True if there were any.

        Args:
            everything: transfer the last songs too, even if they do not fill a block.
        """
        sent = False
        while len(self._waiting) >= BLOCK or (everything and self._waiting):
            block, self._waiting = self._waiting[:BLOCK], self._waiting[BLOCK:]
            # The last songs go one by one: each other size of a block would need a program.
            for part in [block] if len(block) == BLOCK else [[samples] for samples in block]:
                self._samples = _put(self._samples, np.stack(part), self._stored)
                self._stored += len(part)
            sent = True
        if sent:
            self._sizes = [
                int((rows[:count, 0] < self._stored).sum())
                for rows, count in zip(self._rows, self._counts, strict=True)
            ]
            self._tables = [self._table(bucket) for bucket in range(len(self._counts))]
        return sent

    def _table(self, bucket: int) -> StoredExamples:
        rows, tokens = self._rows[bucket], self._tokens[bucket]
        # Copies: later examples are written into these arrays.
        return StoredExamples(
            jnp.array(rows[:, 0]),
            jnp.array(rows[:, 1]),
            jnp.array(tokens),
            jnp.int32(self._sizes[bucket]),
        )

    def shapes(self) -> tuple[StoredAudio, list[StoredExamples]]:
        """Returns the shapes of the audio and of the examples of each bucket, for compiling."""

        def shape(size: tuple[int, ...], dtype: type) -> Any:
            return jax.ShapeDtypeStruct(size, dtype)

        capacity = self.capacity
        rows, none = (capacity.songs * capacity.examples_per_song,), shape((), jnp.int32)
        samples = shape((capacity.songs, capacity.samples), jnp.int16)
        index = shape(rows, jnp.int32)
        return StoredAudio(samples, none), [
            StoredExamples(index, index, shape((*rows, length), jnp.int16), none)
            for length in capacity.buckets
        ]

    def audio(self) -> StoredAudio:
        """Returns the audio of the songs on the device."""
        return StoredAudio(self._samples, jnp.int32(self._stored))

    def examples(self, bucket: int) -> StoredExamples:
        """Returns the examples of a bucket, without those of waiting songs."""
        return self._tables[bucket]


@functools.partial(jax.jit, donate_argnums=0)
def _put(samples: jax.Array, block: jax.Array, first: int | jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(samples, block, (first, 0))


def draw_examples(
    audio: StoredAudio,
    examples: StoredExamples,
    key: jax.Array,
    batch_size: int,
    context_frames: int,
    target_frames: int,
) -> Batch:
    """Returns a random batch of a bucket, as `training.examples.read_examples` takes it.

    Args:
        audio: of all songs.
        examples: of the bucket.
        key: consumed.
        batch_size: B.
        context_frames: C.
        target_frames: F.
    """
    rows = jax.random.randint(key, (batch_size,), 0, examples.size)
    start = examples.start[rows]
    frames = context_frames + target_frames
    return {
        "tokens": examples.tokens[rows].astype(jnp.int32),
        # The context starts at sample `start`: the silence before a song is as long as a context.
        "audio": _cut(audio.samples, examples.song[rows], start * HOP_SAMPLES, frames),
        "context_frames": jnp.minimum(start, context_frames),
    }


def draw_windows(
    audio: StoredAudio, key: jax.Array, batch_size: int, frames: int, tones: int = 0
) -> Batch:
    """Returns random windows of audio that start at any sample, as a batch without notes.

    Args:
        audio: of all songs.
        key: consumed.
        batch_size: B.
        frames: F.
        tones: number of windows that are synthetic tones instead (see `recipe.tones`).
    """
    song_key, start_key, tone_key = jax.random.split(key, 3)
    song = jax.random.randint(song_key, (batch_size,), 0, audio.size)
    last = audio.samples.shape[1] - (frames + EXTRA_FRAMES) * HOP_SAMPLES
    start = jax.random.randint(start_key, (batch_size,), 0, last + 1)
    windows = _cut(audio.samples, song, start, frames)
    if tones:
        windows = windows.at[:tones].set(draw_tones(tone_key, tones, windows.shape[1]))
    return {
        "tokens": jnp.zeros((batch_size, 1), jnp.int32),
        "audio": windows,
        "context_frames": jnp.zeros(batch_size, jnp.int32),
    }


def _cut(samples: jax.Array, song: jax.Array, start: jax.Array, frames: int) -> jax.Array:
    """Returns excerpts, int16 [B, (frames + EXTRA_FRAMES) * 320]."""
    length = (frames + EXTRA_FRAMES) * HOP_SAMPLES
    return jax.vmap(
        lambda song, start: jax.lax.dynamic_slice(samples, (song, start), (1, length))[0]
    )(song, start)
