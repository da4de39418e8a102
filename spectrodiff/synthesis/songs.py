"""Generation of songs, segment by segment, each with the features before it as context.

The batch axis is songs. A song does not depend on the songs it shares a batch with.
"""

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.models.padding import note_bucket
from spectrodiff.synthesis.segments.model import Known, SegmentBatch, SegmentModel


class Segment(NamedTuple):
    """A finished segment of a song."""

    song: int
    number: int
    scaled_mel: np.ndarray  # float32 [F - O, M] in [-1, 1]


def generate_songs(
    model: SegmentModel,
    songs: Sequence[np.ndarray],
    *,
    seed: int,
    on_steps: Callable[[int], None] | None = None,
) -> Iterator[Segment]:
    """Generates all segments of some songs, first segments first.

    Args:
        model: generates a batch of segments.
        songs: the tokens of each song, int32 [segments, N].
        seed: of the randomness; a song's key depends on the seed and its own tokens.
        on_steps: passed on to the model.

    Yields:
        Segments, number 0 of every song, then number 1, and so on.
    """
    config = model.config
    # Longest first: songs that are not finished are then always the first rows of a batch.
    order = sorted(range(len(songs)), key=lambda song: -len(songs[song]))
    size = _batch_size(len(songs), model.num_devices)
    song_keys = jnp.stack([song_key(seed, songs[order[row % len(order)]]) for row in range(size)])
    past = jnp.zeros((size, 0, config.mel_bins))
    for number in range(len(songs[order[0]])):
        active = [song for song in order if len(songs[song]) > number]
        size = _batch_size(len(active), model.num_devices)
        rows = [songs[song][number] for song in active]
        features, past = generate_segments(
            model, rows, past[:size], song_keys[:size], number, on_steps
        )
        for song, scaled_mel in zip(active, np.asarray(features), strict=False):
            yield Segment(song, number, scaled_mel)


def generate_segments(
    model: SegmentModel,
    rows: Sequence[np.ndarray],
    past: jax.Array | np.ndarray,
    song_keys: jax.Array,
    number: int,
    on_steps: Callable[[int], None] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Generates the next segment of each of some songs.

    Args:
        model: generates a batch of segments.
        rows: tokens of the songs' segments, int32 [N] each, at most B.
        past: the last frames of each song so far, at most C + O of them, scaled [B, h, M], where O
            is the model's overlap.
        song_keys: random keys of the songs, [B].
        number: index of the segment, the same in all songs.
        on_steps: passed on to the model.

    Returns:
        The scaled features that the segments add, [B, F - O, M], and `past` for those that follow.
    """
    overlap = model.overlap
    features = model(_batch(model, rows, past, song_keys, number), on_steps)
    if overlap:
        features = features[:, overlap:]
    return features, _newest(past, features, model.config.context_frames + overlap)


def _batch(
    model: SegmentModel,
    rows: Sequence[np.ndarray],
    past: jax.Array | np.ndarray,
    song_keys: jax.Array,
    number: int,
) -> SegmentBatch:
    """Returns the conditioning of the next segments; the arguments are those above."""
    size, frames, overlap = len(past), model.config.context_frames, model.overlap
    context, known, keys = _conditions(past, song_keys, number, frames, overlap)
    valid = max(past.shape[1] - overlap, 0)
    return SegmentBatch(
        tokens=_padded(rows, size, model),
        context=context,
        context_mask=np.tile(np.arange(frames) < valid, (size, 1)),
        keys=keys,
        known=Known(known, np.full(size, past.shape[1] > 0)) if overlap else None,
    )


def group_songs(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Groups songs of similar length into batches, so that few rows of a batch run empty.

    Args:
        lengths: segments of each song.
        batch_size: maximum number of songs in a group.

    Returns:
        Numbers of the songs of each group, longest first.
    """
    order = sorted(range(len(lengths)), key=lambda song: -lengths[song])
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def first_batch(model: SegmentModel, songs: Sequence[np.ndarray]) -> SegmentBatch:
    """Returns the first segments of some songs, for measuring speed; keys are not the songs'."""
    size = _batch_size(len(songs), model.num_devices)
    past = jnp.zeros((size, 0, model.config.mel_bins))
    keys = jax.random.split(jax.random.key(0), size)
    return _batch(model, [song[0] for song in songs], past, keys, 0)


def song_key(seed: int, tokens: np.ndarray) -> jax.Array:
    """Returns the random key of a song: a function of the seed and the tokens alone."""
    checksum = zlib.crc32(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
    return jax.random.fold_in(jax.random.key(seed), np.uint32(checksum))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _conditions(
    past: jax.Array, song_keys: jax.Array, number: int | jax.Array, frames: int, overlap: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns context [B, C, M], overlap [B, O, M] and keys [B], in one call to the device."""
    keys = jax.vmap(jax.random.fold_in, (0, None))(song_keys, number)
    end = max(past.shape[1] - overlap, 0)
    context = past[:, max(end - frames, 0) : end]
    return _filled(context, frames), _filled(past[:, end:], overlap), keys


@functools.partial(jax.jit, static_argnums=2)
def _newest(past: jax.Array, features: jax.Array, frames: int) -> jax.Array:
    """Returns the last frames of the past [B, h, M] and the features [B, F, M] after it."""
    kept = max(frames - features.shape[1], 0)  # a context that is longer than a segment
    if kept:
        features = jnp.concatenate([past[:, max(past.shape[1] - kept, 0) :], features], axis=1)
    return features[:, max(features.shape[1] - frames, 0) :]


def _filled(past: jax.Array, frames: int) -> jax.Array:
    """Returns a context [B, C, M] as in training: frames [B, h, M] first, zeros behind them."""
    missing = frames - past.shape[1]
    return jnp.pad(past, ((0, 0), (0, missing), (0, 0))) if missing else past


def _batch_size(songs: int, multiple: int) -> int:
    """Returns the next power of two, rounded up to a multiple: few sizes mean few compilations."""
    size = 1 << (songs - 1).bit_length()
    return -(-size // multiple) * multiple


def _padded(rows: Sequence[np.ndarray], size: int, model: SegmentModel) -> np.ndarray:
    longest, limit = max(int(np.count_nonzero(row)) for row in rows), len(rows[0])
    width = note_bucket(longest, limit, model.tuning.note_buckets)
    tokens = np.zeros((size, width), np.int32)
    tokens[: len(rows)] = [row[:width] for row in rows]
    return tokens
