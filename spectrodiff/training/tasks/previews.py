"""Playing segments while a synthesiser is being trained."""

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import unscale
from spectrodiff.inverter import GriffinLim
from spectrodiff.synthesis.segments.diffusion import SegmentBatch
from spectrodiff.synthesis.songs import SegmentGenerator
from spectrodiff.training.examples import Segment
from spectrodiff.training.task import Played


def play_segments(generator: SegmentGenerator, segment: Segment, keys: jax.Array) -> Played:
    """Draws segments from their notes and their true contexts.

    Args:
        generator: the network.
        segment: what to play.
        keys: one random key per segment, [B].
    """
    context, mask = segment.context, segment.context_mask
    if context is None or mask is None:
        C, M = generator.config.context_frames, generator.config.mel_bins
        context, mask = jnp.zeros((len(keys), C, M)), jnp.zeros((len(keys), C), bool)
    batch = SegmentBatch(np.asarray(segment.tokens), context, np.asarray(mask), keys)
    log_mel = np.asarray(unscale(generator(batch)))
    return Played(log_mel, [GriffinLim()(rows) for rows in log_mel])
