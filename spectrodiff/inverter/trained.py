"""Inverters trained here: a generator with its parameters."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from spectrodiff.audio.features import check_log_mel
from spectrodiff.core.constants import HOP_SAMPLES, MIN_LOG_MEL
from spectrodiff.inverter.base import Audio, Inverter
from spectrodiff.inverter.config import FrameRateConfig, InverterConfig, RecurrentConfig
from spectrodiff.inverter.files import StoredInverter
from spectrodiff.inverter.networks.generators import (
    display_name,
    generate,
    period,
    reach_frames,
    read_heads,
)
from spectrodiff.inverter.networks.recurrent import Heads, State, to_audio, unrolled
from spectrodiff.models.definition import Params

# Frames of a window without the reach around it. All windows have one of two shapes: few
# compilations. The short one is for what is left at the end, and for the parts of a stream.
WINDOW_FRAMES, SHORT_WINDOW_FRAMES = 512, 192


def trained_inverter(stored: StoredInverter, device: jax.Device | None = None) -> Inverter:
    """Returns the inverter for stored parameters.

    Args:
        stored: sizes and parameters.
        device: device to compute on; JAX's first one if None.
    """
    if isinstance(stored.config, RecurrentConfig):
        return RecurrentInverter(stored.config, stored.params, device)
    return TrainedInverter(stored.config, stored.params, device)


class TrainedInverter(Inverter):
    """Inverter whose generator has a limited reach; runs window by window, with silence around.

    Args:
        config: sizes of the generator.
        params: its parameters.
        device: device to compute on; JAX's first one if None.
    """

    def __init__(
        self, config: InverterConfig, params: Params, device: jax.Device | None = None
    ) -> None:
        self._config = config
        self._params = jax.device_put(params, device or jax.devices()[0])

    @property
    def name(self) -> str:
        """Name in reports."""
        return display_name(self._config)

    @property
    def stored(self) -> StoredInverter:
        """Sizes and parameters, copied to the host."""
        return StoredInverter(self._config, jax.device_get(self._params))

    @property
    def reach_frames(self) -> int:
        """Largest distance of frames that the audio of a frame depends on."""
        return reach_frames(self._config)

    @property
    def period_frames(self) -> int:
        """Parts that are inverted separately start at multiples of this number of frames."""
        return period(self._config)

    @property
    def needs_phases(self) -> bool:
        """True for the kind of the bundled one, which draws tones to multiples of 50 Hz."""
        return type(self._config) is FrameRateConfig

    def __call__(self, log_mel: np.ndarray) -> Audio:
        """Inverts unscaled log-mel [frames, 128] to frames * 320 samples.

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """
        log_mel = check_log_mel(log_mel)
        before = padding_frames(self._config)
        widths = window_widths(len(log_mel))
        after = sum(widths) - len(log_mel) + before
        padded = np.pad(log_mel, ((before, after), (0, 0)), constant_values=MIN_LOG_MEL)
        parts = []
        for number, width in enumerate(widths):
            window = padded[number * WINDOW_FRAMES :][: width + 2 * before]
            parts.append(np.asarray(_invert_window(self._config, self._params, window)))
        return np.concatenate(parts)[: len(log_mel) * HOP_SAMPLES]


class RecurrentInverter(TrainedInverter):
    """Inverter with a recurrent generator: the audio of a frame depends on all frames before it."""

    _config: RecurrentConfig

    def __call__(self, log_mel: np.ndarray) -> Audio:
        """Inverts unscaled log-mel [frames, 128] to frames * 320 samples.

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """
        return self.continued(log_mel, None, 0, len(log_mel))[0]

    def continued(
        self, log_mel: np.ndarray, state: Any, first: int, until: int
    ) -> tuple[Audio, State]:
        """Inverts one part of a song after another; see `Inverter.continued`."""
        log_mel = check_log_mel(log_mel)
        before = padding_frames(self._config)
        windows = -(-(until - first) // WINDOW_FRAMES)
        after = max(first + windows * WINDOW_FRAMES - len(log_mel), 0) + before
        padded = np.pad(log_mel, ((before, after), (0, 0)), constant_values=MIN_LOG_MEL)
        if state is None:
            silence = jnp.zeros((1, self._config.fourier_bins))
            state = State(silence, silence)
        parts = []
        for start in range(first, until, WINDOW_FRAMES):
            window = padded[start : start + WINDOW_FRAMES + 2 * before]
            count = min(until - start, WINDOW_FRAMES)
            audio, state = _continue_window(self._config, self._params, window, state, count)
            parts.append(np.asarray(audio)[: count * HOP_SAMPLES])
        return np.concatenate(parts), state


def window_widths(frames: int) -> list[int]:
    """Returns the frames of each window for a number of frames; the last may be a short one."""
    whole, rest = divmod(frames, WINDOW_FRAMES)
    last = [SHORT_WINDOW_FRAMES if rest <= SHORT_WINDOW_FRAMES else WINDOW_FRAMES] if rest else []
    return [WINDOW_FRAMES] * whole + last


def padding_frames(config: InverterConfig) -> int:
    """Returns the frames around a window on each side: its reach, rounded up to the period."""
    return -(-reach_frames(config) // period(config)) * period(config)


@functools.partial(jax.jit, static_argnums=0)
def _invert_window(
    config: InverterConfig, params: Params, log_mel: Float[Array, "padded M"]
) -> Float32[Array, " samples"]:
    """Inverts a window that has `padding_frames` on both sides."""
    audio = generate(config, params, log_mel[None])[0]
    padding_samples = padding_frames(config) * HOP_SAMPLES
    return audio[padding_samples:-padding_samples]


@functools.partial(jax.jit, static_argnums=0)
def _continue_window(
    config: RecurrentConfig,
    params: Params,
    log_mel: Float[Array, "padded M"],
    state: State,
    count: Int[Array, ""],
) -> tuple[Float32[Array, " samples"], State]:
    """Inverts a window from the state before the earliest spectrum that overlaps with it.

    Returns:
        The audio of the window, and the state for a window that starts `count` frames later.
    """
    overlap = config.window_samples // HOP_SAMPLES // 2  # spectra before a frame that overlap it
    padding = padding_frames(config)
    heads = read_heads(config, params, log_mel[None])
    spectra = unrolled(Heads(*(part[:, padding - overlap :] for part in heads)), state)
    audio = to_audio(spectra)[0, overlap * HOP_SAMPLES :][: WINDOW_FRAMES * HOP_SAMPLES]
    return audio, State(*(part[:, count - 1] for part in spectra))
