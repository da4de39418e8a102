"""An embedding that needs no weights: what can be read off a log-mel spectrogram.

Its distances rank what sounds alike above what does not, and nothing more. They are not those of a
trained embedding and do not compare with any published number.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import FrontEnd, log_mel
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.pieces import map_pieces

FRONT_END = FrontEnd(num_mels=64)
# About the level of 16-bit rounding noise: below it the way a file is stored would be measured.
MIN_LOG_MEL = math.log(1e-3)

_HALF_SAMPLES = SAMPLE_RATE // 2
_HALF_FRAMES = _HALF_SAMPLES // FRONT_END.hop_samples
_WINDOWS_AT_ONCE = 120  # a minute


class LogMelStatistics:
    """Mean and standard deviation of 64 log-mel bands over a second, every half second.

    The bands are like the synthesiser's (50 frames per second, 0 to 8000 Hz), but 64 of them;
    natural logarithm of magnitudes, at least ln 0.001.
    """

    name = "log-mel statistics"
    sample_rate = SAMPLE_RATE

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Audio float32 [samples], at least a second -> float32 [frames, 128], means first."""
        return map_pieces(
            _statistics,
            audio,
            count=len(audio) // _HALF_SAMPLES - 1,
            at_once=_WINDOWS_AT_ONCE,
            hop_samples=_HALF_SAMPLES,
            # The second half of the window, and the rest of the last frame that begins in it.
            overhang_samples=_HALF_SAMPLES + FRONT_END.frame_samples - FRONT_END.hop_samples,
        )


@jax.jit
def _statistics(samples: jax.Array) -> jax.Array:
    """Samples of W windows and of the overhang -> [W, 2 * 64]."""
    frames = jnp.maximum(log_mel(samples, FRONT_END), MIN_LOG_MEL)
    num_halves = len(frames) // _HALF_FRAMES
    halves = frames[: num_halves * _HALF_FRAMES].reshape(num_halves, _HALF_FRAMES, -1)
    windows = jnp.concatenate([halves[:-1], halves[1:]], axis=1)
    return jnp.concatenate([windows.mean(axis=1), windows.std(axis=1)], axis=1)
