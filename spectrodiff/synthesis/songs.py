"""A song is drawn segment after segment, each hearing what came before.

Songs lie side by side: the batch axis is songs. Which songs share a batch changes nothing about any
of them.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.models.config import ModelConfig
from spectrodiff.models.padding import note_bucket
from spectrodiff.synthesis.segments.diffusion import SegmentBatch


class Segment(NamedTuple):
    """One finished segment of one song."""

    song: int
    number: int
    scaled_mel: np.ndarray  # float32 [F, M] in [-1, 1]


class SegmentGenerator(Protocol):
    """Draws features for a batch of segments."""

    @property
    def config(self) -> ModelConfig:
        """Sizes of the network behind it."""
        ...

    @property
    def steps(self) -> int:
        """How many steps a batch takes."""
        ...

    @property
    def num_devices(self) -> int:
        """How many devices share a batch."""
        ...

    def __call__(
        self, batch: SegmentBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        """Scaled features [B, F, M] in [-1, 1]."""
        ...

    def try_steps(self, batch: SegmentBatch) -> Iterator[None]:
        """Takes one step after another without an end, to find out how long one takes."""
        ...


def generate_songs(
    generator: SegmentGenerator,
    songs: Sequence[np.ndarray],
    *,
    seed: int,
    batch_multiple: int = 1,
    on_steps: Callable[[int], None] | None = None,
) -> Iterator[Segment]:
    """Draws all segments of some songs, first segments first.

    Args:
        generator: what draws a batch of segments.
        songs: the tokens of each song, int32 [segments, N].
        seed: of the randomness; a song's own tokens are mixed in, its neighbours are not.
        batch_multiple: number of devices a batch is split over.
        on_steps: handed on to the generator.

    Yields:
        Segments, number 0 of every song, then number 1, and so on.
    """
    config = generator.config
    # Longest first: the songs that still go on are then always the first rows of a batch.
    order = sorted(range(len(songs)), key=lambda song: -len(songs[song]))
    size = _batch_size(len(songs), batch_multiple)
    song_keys = jnp.stack([song_key(seed, songs[order[row % len(order)]]) for row in range(size)])
    heard = jnp.zeros((size, 0, config.mel_bins))  # the newest frames so far, at most C of them
    for number in range(len(songs[order[0]])):
        active = [song for song in order if len(songs[song]) > number]
        size = _batch_size(len(active), batch_multiple)
        batch = SegmentBatch(
            tokens=_padded([songs[song][number] for song in active], size),
            context=_filled(heard[:size], config.context_frames),
            context_mask=np.tile(np.arange(config.context_frames) < heard.shape[1], (size, 1)),
            keys=jax.vmap(jax.random.fold_in, (0, None))(song_keys[:size], number),
        )
        features = generator(batch, on_steps)
        heard = _newest(heard[:size], features, config.context_frames)
        for song, scaled_mel in zip(active, np.asarray(features), strict=False):
            yield Segment(song, number, scaled_mel)


def first_batch(
    config: ModelConfig, songs: Sequence[np.ndarray], *, batch_multiple: int = 1
) -> SegmentBatch:
    """The first segments of some songs, to try out how long they take; keys are not the songs'."""
    size = _batch_size(len(songs), batch_multiple)
    return SegmentBatch(
        tokens=_padded([song[0] for song in songs], size),
        context=jnp.zeros((size, config.context_frames, config.mel_bins)),
        context_mask=np.zeros((size, config.context_frames), bool),
        keys=jax.random.split(jax.random.key(0), size),
    )


def song_key(seed: int, tokens: np.ndarray) -> jax.Array:
    """The random key of a song: the same wherever it is rendered, another for every song."""
    checksum = zlib.crc32(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
    return jax.random.fold_in(jax.random.key(seed), np.uint32(checksum))


def _newest(heard: jax.Array, features: jax.Array, frames: int) -> jax.Array:
    """The last so many frames of what was heard [B, h, M] and the features [B, F, M] after it."""
    kept = max(frames - features.shape[1], 0)  # a context that is longer than a segment
    if kept:
        features = jnp.concatenate([heard[:, max(heard.shape[1] - kept, 0) :], features], axis=1)
    return features[:, max(features.shape[1] - frames, 0) :]


def _filled(heard: jax.Array, frames: int) -> jax.Array:
    """A context [B, C, M] as training shows it: frames [B, h, M] first, zero behind them."""
    missing = frames - heard.shape[1]
    return jnp.pad(heard, ((0, 0), (0, missing), (0, 0))) if missing else heard


def _batch_size(songs: int, multiple: int) -> int:
    """The next power of two, rounded up to a multiple: few sizes mean few compilations."""
    size = 1 << (songs - 1).bit_length()
    return -(-size // multiple) * multiple


def _padded(rows: Sequence[np.ndarray], size: int) -> np.ndarray:
    longest = max(int(np.count_nonzero(row)) for row in rows)
    width = min(note_bucket(longest, len(rows[0])), len(rows[0]))
    tokens = np.zeros((size, width), np.int32)
    tokens[: len(rows)] = [row[:width] for row in rows]
    return tokens
