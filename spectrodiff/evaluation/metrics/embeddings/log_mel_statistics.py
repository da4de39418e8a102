"""Embedding without weights: statistics of a log-mel spectrogram.

Its distances rank similar recordings above dissimilar ones. They cannot be compared with those of
trained embeddings, nor with published numbers.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import FrontEnd, log_mel
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.blocks import map_blocks

FRONT_END = FrontEnd(num_mels=64)
# About the level of 16-bit rounding noise, so that the file format has no effect.
MIN_LOG_MEL = math.log(1e-3)

_HALF_SAMPLES = SAMPLE_RATE // 2
_HALF_FRAMES = _HALF_SAMPLES // FRONT_END.hop_samples
_WINDOWS_PER_BLOCK = 120  # one minute


class LogMelStatistics:
    """Mean and standard deviation of 64 log-mel bands over a second, every half second.

    Bands cover 0 to 8000 Hz at 50 frames per second, like those of the model's 128 bands; natural
    logarithms of magnitudes, at least ln 0.001.
    """

    name = "log-mel statistics"
    sample_rate = SAMPLE_RATE

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Embeds audio, float32 [samples], at least 1 s, to float32 [frames, 128], means first."""
        return map_blocks(
            _statistics,
            audio,
            num_rows=len(audio) // _HALF_SAMPLES - 1,
            block_rows=_WINDOWS_PER_BLOCK,
            hop_samples=_HALF_SAMPLES,
            # The second half of the window, and the rest of the last frame that begins in it.
            overhang_samples=_HALF_SAMPLES + FRONT_END.frame_samples - FRONT_END.hop_samples,
        )


@jax.jit
def _statistics(samples: jax.Array) -> jax.Array:
    """Computes the statistics of W windows, [W, 2 * 64], from their samples and the overhang."""
    frames = jnp.maximum(log_mel(samples, FRONT_END), MIN_LOG_MEL)
    num_halves = len(frames) // _HALF_FRAMES
    halves = frames[: num_halves * _HALF_FRAMES].reshape(num_halves, _HALF_FRAMES, -1)
    windows = jnp.concatenate([halves[:-1], halves[1:]], axis=1)
    return jnp.concatenate([windows.mean(axis=1), windows.std(axis=1)], axis=1)
