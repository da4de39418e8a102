"""Our own inverters: a generator with its parameters, from a file or a training run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import check_log_mel
from spectrodiff.core.constants import HOP_SAMPLES, MIN_LOG_MEL
from spectrodiff.inverter.config import InverterConfig, RecurrentConfig
from spectrodiff.inverter.files import StoredInverter
from spectrodiff.inverter.networks.generators import (
    display_name,
    generate,
    period,
    read_heads,
    receptive_field,
)
from spectrodiff.inverter.networks.recurrent import Heads, State, to_audio, unrolled
from spectrodiff.models.definition import Params

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

    @property
    def recurrent(self) -> bool:
        """True if the audio of a frame depends on all frames before it; see `continued`."""
        return isinstance(self._config, RecurrentConfig)

    def __call__(self, log_mel: np.ndarray) -> np.ndarray:
        """Inverts unscaled log-mel [frames, 128] to float32 [frames * 320].

        Raises:
            AudioError: if there are no frames, another number of bins, or NaN.
        """
        log_mel = check_log_mel(log_mel)
        if self.recurrent:
            return self.continued(log_mel, None, 0, len(log_mel))[0]
        before = padding_frames(self._config)
        windows = -(-len(log_mel) // WINDOW_FRAMES)
        after = windows * WINDOW_FRAMES - len(log_mel) + before
        padded = np.pad(log_mel, ((before, after), (0, 0)), constant_values=MIN_LOG_MEL)
        pieces = []
        for start in range(0, windows * WINDOW_FRAMES, WINDOW_FRAMES):
            window = padded[start : start + WINDOW_FRAMES + 2 * before]
            pieces.append(np.asarray(_invert_window(self._config, self._params, window)))
        return np.concatenate(pieces)[: len(log_mel) * HOP_SAMPLES]

    def continued(
        self, log_mel: np.ndarray, state: State | None, first: int, until: int
    ) -> tuple[np.ndarray, State]:
        """Inverts part of a song by a recurrent generator, going on from the part before it.

        Args:
            log_mel: unscaled [frames, 128], from `context_frames` before the part on, or from the
                beginning of the song, to as many frames after it, or to the song's end.
            state: what this function returned for the part that ended where this one begins; None
                at the beginning of the song.
            first: the first frame of the part, counted in `log_mel`.
            until: the frame after its last one.

        Returns:
            float32 [(until - first) * 320], and the state for the part that follows.

        Raises:
            AudioError: if there are no frames, another number of bins, or NaN.
        """
        assert isinstance(self._config, RecurrentConfig)
        log_mel = check_log_mel(log_mel)
        before = padding_frames(self._config)
        windows = -(-(until - first) // WINDOW_FRAMES)
        after = max(first + windows * WINDOW_FRAMES - len(log_mel), 0) + before
        padded = np.pad(log_mel, ((before, after), (0, 0)), constant_values=MIN_LOG_MEL)
        if state is None:
            silence = jnp.zeros((1, self._config.fourier_bins))
            state = State(silence, silence)
        pieces = []
        for start in range(first, until, WINDOW_FRAMES):
            window = padded[start : start + WINDOW_FRAMES + 2 * before]
            count = min(until - start, WINDOW_FRAMES)
            audio, state = _continue_window(self._config, self._params, window, state, count)
            pieces.append(np.asarray(audio)[: count * HOP_SAMPLES])
        return np.concatenate(pieces), state


def padding_frames(config: InverterConfig) -> int:
    """How much context a window gets on each side: enough, and a multiple of the period."""
    return -(-receptive_field(config) // period(config)) * period(config)


@functools.partial(jax.jit, static_argnums=0)
def _invert_window(config: InverterConfig, params: Params, log_mel: jax.Array) -> jax.Array:
    """[context + window + context, 128] -> [window * 320]."""
    audio = generate(config, params, log_mel[None])[0]
    context_samples = padding_frames(config) * HOP_SAMPLES
    return audio[context_samples:-context_samples]


@functools.partial(jax.jit, static_argnums=0)
def _continue_window(
    config: RecurrentConfig, params: Params, log_mel: jax.Array, state: State, count: jax.Array
) -> tuple[jax.Array, State]:
    """Inverts a window from the state before the earliest spectrum that is heard in it.

    Returns:
        float32 [window * 320], and the state for a window that begins `count` frames later.
    """
    heard = config.window_samples // HOP_SAMPLES // 2  # spectra before a frame that reach into it
    context = padding_frames(config)
    heads = read_heads(config, params, log_mel[None])
    spectra = unrolled(Heads(*(part[:, context - heard :] for part in heads)), state)
    audio = to_audio(spectra)[0, heard * HOP_SAMPLES :][: WINDOW_FRAMES * HOP_SAMPLES]
    return audio, State(*(part[:, count - 1] for part in spectra))
