"""Conversion of a batch of audio and tokens to network inputs; runs inside the jitted step."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from spectrodiff.audio.features import scale, segment_log_mel
from spectrodiff.core.constants import HOP_SAMPLES
from spectrodiff.core.parallel import BATCH

Batch = dict[str, jax.Array]


class ExampleSizes(Protocol):
    """Lengths of the parts of an example."""

    @property
    def target_frames(self) -> int:
        """F, frames of the segment."""
        ...

    @property
    def context_frames(self) -> int:
        """C, frames of the context; 0 if the network has none."""
        ...


class Examples(NamedTuple):
    """A batch of examples as networks take them."""

    tokens: jax.Array  # int32 [B, n], zero-padded
    context: jax.Array | None  # scaled features [B, C, M], valid frames first, zeros behind them
    context_mask: jax.Array | None  # bool [B, C]
    log_mel: jax.Array  # unscaled features of the segment, [B, F, M]
    audio: jax.Array  # audio of the segment, int16 [B, F * 320]


def read_examples(batch: Batch, sizes: ExampleSizes, mesh: Mesh) -> Examples:
    """Computes the features of a batch.

    Args:
        batch: `tokens` int32 [B, n]; `audio` int16 [B, (C + F + 16) * 320], beginning C frames
            before the segments; `context_frames` int32 [B], number of these C frames that lie
            inside the recording.
        sizes: C and F.
        mesh: the devices that the batch is split over.
    """
    # Each device transforms its own part: the partitioner would gather the whole batch for an FFT.
    log_mel = jax.shard_map(segment_log_mel, mesh=mesh, in_specs=BATCH, out_specs=BATCH)(
        batch["audio"]
    )
    C, F = sizes.context_frames, sizes.target_frames
    audio = batch["audio"][:, C * HOP_SAMPLES : (C + F) * HOP_SAMPLES]
    if not C:
        return Examples(batch["tokens"], None, None, log_mel, audio)
    context, mask = align_context(scale(log_mel[:, :C]), batch["context_frames"])
    return Examples(batch["tokens"], context, mask, log_mel[:, C:], audio)


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
