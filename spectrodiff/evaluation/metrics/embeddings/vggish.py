"""VGGish embedding computed with JAX; see `spectrodiff.models.vggish`."""

import functools
import os

import jax
import numpy as np

from spectrodiff.checkpoints.layouts.vggish import import_vggish
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.blocks import map_blocks
from spectrodiff.models.definition import Definition, Params, define
from spectrodiff.models.vggish import (
    OVERHANG_SAMPLES,
    PATCH_SAMPLES,
    Vggish,
    VggishConfig,
    count_patches,
    patches,
)

# XLA's convolutions on a CPU are fastest on batches of about this size.
PATCHES_PER_BLOCK = 32


class VggishEmbedding:
    """Embedding with one vector per 0.96 s of 16 kHz audio.

    Args:
        config: widths of the network.
        params: parameters of the network.
    """

    name = "VGGish"
    sample_rate = SAMPLE_RATE

    def __init__(self, config: VggishConfig, params: Params) -> None:
        self._params = jax.device_put(params)
        self._embed = jax.jit(functools.partial(_embed, define(Vggish, config)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "VggishEmbedding":
        """Reads published weights; see `spectrodiff.checkpoints.layouts.vggish`."""
        return cls(*import_vggish(path))

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Embeds audio, float32 [samples] of at least 0.975 s, to float32 [frames, 128]."""
        return map_blocks(
            functools.partial(self._embed, self._params),
            audio,
            num_rows=count_patches(len(audio)),
            block_rows=PATCHES_PER_BLOCK,
            hop_samples=PATCH_SAMPLES,
            overhang_samples=OVERHANG_SAMPLES,
        )


def _embed(network: Definition[Vggish], params: Params, samples: jax.Array) -> jax.Array:
    return network.merge(params)(patches(samples))
