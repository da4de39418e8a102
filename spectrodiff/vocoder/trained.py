"""Our own inverters: a generator with its parameters, from a file or a training run."""

import functools

import jax
import numpy as np

from spectrodiff.features import HOP_SAMPLES, MIN_LOG_MEL, check_log_mel
from spectrodiff.vocoder.config import InverterConfig
from spectrodiff.vocoder.files import StoredInverter
from spectrodiff.vocoder.generators import Params, display_name, generate, period, receptive_field

# Frames of a window without its context. One shape, so that there is one program to compile.
WINDOW_FRAMES = 512


class TrainedInverter:
    """Runs a generator window by window; what lies outside the song is silence.

    Args:
        stored: sizes and parameters.
        device: where to compute; by default JAX's first one.
    """

    def __init__(self, stored: StoredInverter, device: jax.Device | None = None) -> None:
        self._config = stored.config
        self._params = jax.device_put(stored.params, device or jax.devices()[0])

    @property
    def name(self) -> str:
        """How reports call it."""
        return display_name(self._config)

    @property
    def context_frames(self) -> int:
        """How many neighbouring frames on each side change the audio of a frame."""
        return receptive_field(self._config)

    @property
    def period_frames(self) -> int:
        """Only spectrograms that begin a multiple of this apart are inverted alike."""
        return period(self._config)

    def __call__(self, log_mel: np.ndarray) -> np.ndarray:
        """Inverts unscaled log-mel [frames, 128] to float32 [frames * 320].

        Raises:
            AudioError: if there are no frames, another number of bins, or NaN.
        """
        log_mel = check_log_mel(log_mel)
        before = padding_frames(self._config)
        windows = -(-len(log_mel) // WINDOW_FRAMES)
        after = windows * WINDOW_FRAMES - len(log_mel) + before
        padded = np.pad(log_mel, ((before, after), (0, 0)), constant_values=MIN_LOG_MEL)
        pieces = []
        for start in range(0, windows * WINDOW_FRAMES, WINDOW_FRAMES):
            window = padded[start : start + WINDOW_FRAMES + 2 * before]
            pieces.append(np.asarray(_invert_window(self._config, self._params, window)))
        return np.concatenate(pieces)[: len(log_mel) * HOP_SAMPLES]


def padding_frames(config: InverterConfig) -> int:
    """How much context a window gets on each side: enough, and a multiple of the period."""
    return -(-receptive_field(config) // period(config)) * period(config)


@functools.partial(jax.jit, static_argnums=0)
def _invert_window(config: InverterConfig, params: Params, log_mel: jax.Array) -> jax.Array:
    """[context + window + context, 128] -> [window * 320]."""
    audio = generate(config, params, log_mel[None])[0]
    context_samples = padding_frames(config) * HOP_SAMPLES
    return audio[context_samples:-context_samples]
