"""Generation of songs, segment by segment, each with the features before it as context.

The batch axis is songs. A song does not depend on the songs it shares a batch with.
"""

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


class NextSegment(NamedTuple):
    """A segment to generate, and what a song has before it."""

    tokens: np.ndarray  # int32 [N]
    past: np.ndarray  # the song's last frames so far, see `newest`, scaled [h, M]
    song_key: jax.Array  # random key of the song
    number: int  # of the segment in the song


def generate_songs(
    model: SegmentModel,
    songs: Sequence[np.ndarray],
    *,
    seed: int,
    on_steps: Callable[[int], None] | None = None,
) -> Iterator[Segment]:
    """Generates all segments of some songs.

    Args:
        model: generates a batch of segments.
        songs: the tokens of each song, int32 [segments, N].
        seed: of the randomness; a song's key depends on the seed and its own tokens.
        on_steps: passed on to the model.

    Yields:
        Segments; those of a song in their order, the songs as `schedule` says.
    """
    keys = [song_key(seed, tokens) for tokens in songs]
    pasts = [np.zeros((0, model.config.mel_bins), np.float32) for _ in songs]
    for batch in _batches(model, songs):
        rows = [
            NextSegment(songs[song][number], pasts[song], keys[song], number)
            for song, number in batch
        ]
        generated = generate_segments(model, rows, on_steps)
        for (song, number), scaled_mel in zip(batch, generated, strict=True):
            pasts[song] = newest(model, pasts[song], scaled_mel)
            yield Segment(song, number, scaled_mel)


def plan(
    model: SegmentModel, songs: Sequence[np.ndarray], batch_size: int
) -> list[list[np.ndarray]]:
    """Returns the segments of every batch that songs are rendered in: their tokens, int32 [N] each.

    Args:
        model: generates segments.
        songs: the tokens of each song, int32 [segments, N].
        batch_size: number of songs that are rendered side by side.
    """
    groups = group_songs([len(tokens) for tokens in songs], batch_size)
    return [
        [songs[group[song]][number] for song, number in batch]
        for group in groups
        for batch in _batches(model, [songs[song] for song in group])
    ]


def _batches(model: SegmentModel, songs: Sequence[np.ndarray]) -> Iterator[list[tuple[int, int]]]:
    """Yields the segments that `generate_songs` generates together; see `schedule`."""
    return schedule([_widths(model, tokens) for tokens in songs], model.tuning.rows)


def schedule(
    widths: Sequence[Sequence[int]], rows: int | None = None
) -> Iterator[list[tuple[int, int]]]:
    """Chooses the segments that are generated together: at most one, the next one, of each song.

    The song with fewest segments left is always served, so that songs end one after another. The
    others are those whose next segments are the most like its own in width, so that little is
    padded.

    Args:
        widths: padded number of tokens of each segment of each song.
        rows: maximum number of segments in a batch. Batches then are powers of two: songs wait,
            rather than rows run empty. None for all songs that are not finished.

    Yields:
        The segments of each batch, as pairs of a song and the number of its segment.
    """
    done = [0 for _ in widths]
    while active := [song for song, own in enumerate(widths) if done[song] < len(own)]:
        left = {song: len(widths[song]) - done[song] for song in active}
        width = {song: widths[song][done[song]] for song in active}
        leader = min(active, key=left.__getitem__)
        active.sort(
            key=lambda song: (song != leader, abs(width[song] - width[leader]), -left[song])
        )
        count = len(active) if rows is None else _power_of_two(min(rows, len(active)))
        yield [(song, done[song]) for song in active[:count]]
        for song in active[:count]:
            done[song] += 1


def generate_segments(
    model: SegmentModel,
    segments: Sequence[NextSegment],
    on_steps: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Generates the next segment of each of some songs.

    Args:
        model: generates a batch of segments.
        segments: what to generate.
        on_steps: passed on to the model.

    Returns:
        The scaled features that the segments add, float32 [segments, F - O, M].
    """
    features = np.asarray(model(_batch(model, segments), on_steps))
    return features[: len(segments), model.overlap :]


def newest(model: SegmentModel, past: np.ndarray, added: np.ndarray) -> np.ndarray:
    """Returns the last frames of a song so far, as many as a segment can need, C + O.

    Args:
        model: generates segments.
        past: the last frames before, scaled [h, M].
        added: the frames that a segment has added, scaled [F - O, M].
    """
    frames = model.config.context_frames + model.overlap
    song = np.concatenate([past, added])
    return song[max(len(song) - frames, 0) :]


def _batch(model: SegmentModel, segments: Sequence[NextSegment]) -> SegmentBatch:
    """Returns the conditioning of segments, followed by rows without notes that fill the batch."""
    size, width = padded_shape(model, [segment.tokens for segment in segments])
    config, overlap = model.config, model.overlap
    tokens = np.zeros((size, width), np.int32)
    context = np.zeros((size, config.context_frames, config.mel_bins), np.float32)
    known = np.zeros((size, overlap, config.mel_bins), np.float32)
    valid, has_known = np.zeros(size, np.int32), np.zeros(size, bool)
    for row, (notes, past, _, _) in enumerate(segments):
        tokens[row] = notes[:width]
        end = max(len(past) - overlap, 0)
        # As in training: the frames that there are first, zeros behind them.
        context[row, :end], valid[row] = past[:end], end
        known[row, : len(past) - end], has_known[row] = past[end:], len(past) > 0
    rows = [*segments, *[segments[0]] * (size - len(segments))]
    return SegmentBatch(
        tokens=tokens,
        context=context,
        context_mask=np.arange(config.context_frames) < valid[:, None],
        keys=_segment_keys(
            [segment.song_key for segment in rows],
            np.array([segment.number for segment in rows], np.uint32),
        ),
        known=Known(known, has_known) if overlap else None,
    )


def padded_shape(model: SegmentModel, rows: Sequence[np.ndarray]) -> tuple[int, int]:
    """Returns the shape [B, n] that the tokens of some segments are padded to.

    Args:
        model: generates segments.
        rows: tokens of each segment, int32 [N].
    """
    return _batch_size(len(rows), model.num_devices), max(_widths(model, np.stack(rows)))


def group_songs(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Groups songs of similar length, so that few batches are small.

    Args:
        lengths: segments of each song.
        batch_size: maximum number of songs in a group.

    Returns:
        Numbers of the songs of each group, longest first.
    """
    order = sorted(range(len(lengths)), key=lambda song: -lengths[song])
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def trial_batch(model: SegmentModel, rows: Sequence[np.ndarray]) -> SegmentBatch:
    """Returns segments without anything before them, for measuring speed.

    Args:
        model: generates segments.
        rows: tokens of each segment, int32 [N].
    """
    nothing, key = np.zeros((0, model.config.mel_bins), np.float32), jax.random.key(0)
    return _batch(model, [NextSegment(tokens, nothing, key, 0) for tokens in rows])


def song_key(seed: int, tokens: np.ndarray) -> jax.Array:
    """Returns the random key of a song: a function of the seed and the tokens alone."""
    checksum = zlib.crc32(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
    return jax.random.fold_in(jax.random.key(seed), np.uint32(checksum))


@jax.jit
def _segment_keys(song_keys: Sequence[jax.Array], numbers: np.ndarray) -> jax.Array:
    """Returns the random keys of segments, [B]."""
    return jax.vmap(jax.random.fold_in)(jnp.stack(song_keys), numbers)


def _batch_size(songs: int, multiple: int) -> int:
    """Returns the next power of two, rounded up to a multiple: few sizes mean few compilations."""
    size = 1 << (songs - 1).bit_length()
    return -(-size // multiple) * multiple


def _widths(model: SegmentModel, tokens: np.ndarray) -> list[int]:
    """Returns the number of tokens that each segment of a song is padded to, [segments, N]."""
    limit, buckets = tokens.shape[1], model.tuning.note_buckets
    return [note_bucket(int(count), limit, buckets) for count in np.count_nonzero(tokens, axis=1)]


def _power_of_two(number: int) -> int:
    """Returns the largest power of two that is at most `number`."""
    return 1 << (number.bit_length() - 1)
