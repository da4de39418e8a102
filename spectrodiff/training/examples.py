"""From a batch of audio and tokens to what networks are trained on; runs inside the jitted step."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from spectrodiff.audio.features import scale, segment_log_mel
from spectrodiff.core.constants import HOP_SAMPLES

Batch = dict[str, jax.Array]


class SegmentSizes(Protocol):
    """What has to be known of a network to read its segments."""

    @property
    def target_frames(self) -> int:
        """F, frames of a segment."""
        ...

    @property
    def context_frames(self) -> int:
        """C, frames before it; 0 if the network has no context."""
        ...


class Segment(NamedTuple):
    """A batch of segments and what is known about them."""

    tokens: jax.Array  # int32 [B, n], zero-padded
    context: jax.Array | None  # scaled features [B, C, M], valid frames first, zero behind them
    context_mask: jax.Array | None  # bool [B, C]
    log_mel: jax.Array  # unscaled features of the segment itself, [B, F, M]
    audio: jax.Array  # its sound, int16 [B, F * 320]


def read_segments(batch: Batch, config: SegmentSizes, mesh: Mesh) -> Segment:
    """Works out the features of a batch.

    Args:
        batch: `tokens` int32 [B, n]; `audio` int16 [B, (C + F + 16) * 320], the sound from C frames
            before the segments on; `context_frames` int32 [B], how many of these C are part of the
            recording.
        config: sizes of the network.
        mesh: the devices that the batch is split over.
    """
    # Each device transforms its own part: the partitioner would gather the whole batch for an FFT.
    split = PartitionSpec("data")
    log_mel = jax.shard_map(segment_log_mel, mesh=mesh, in_specs=split, out_specs=split)(
        batch["audio"]
    )
    C, F = config.context_frames, config.target_frames
    audio = batch["audio"][:, C * HOP_SAMPLES : (C + F) * HOP_SAMPLES]
    if not C:
        return Segment(batch["tokens"], None, None, log_mel, audio)
    context, mask = align_context(scale(log_mel[:, :C]), batch["context_frames"])
    return Segment(batch["tokens"], context, mask, log_mel[:, C:], audio)


def align_context(context: jax.Array, valid_frames: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moves the valid frames, which are the last ones, to the front and zeroes the rest.

    Args:
        context: [B, C, M].
        valid_frames: int32 [B], in 0..C.

    Returns:
        The context [B, C, M] and its mask, bool [B, C].
    """
    frames = jnp.arange(context.shape[1])[None]
    rows = (frames - valid_frames[:, None]) % context.shape[1]
    mask = frames < valid_frames[:, None]
    moved = jnp.take_along_axis(context, rows[..., None], axis=1)
    return jnp.where(mask[..., None], moved, 0.0), mask
