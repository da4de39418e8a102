"""Generators by their sizes, and their properties."""

import math

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int

from spectrodiff.core.constants import HOP_SAMPLES
from spectrodiff.inverter.config import InverterConfig, MelganConfig, RecurrentConfig
from spectrodiff.inverter.networks.frame_rate import FrameRateGenerator
from spectrodiff.inverter.networks.melgan import MelganGenerator, melgan_reach_frames
from spectrodiff.inverter.networks.oscillators import PERIOD_FRAMES
from spectrodiff.inverter.networks.recurrent import Heads, RecurrentGenerator
from spectrodiff.models.definition import Params, define

Generator = FrameRateGenerator | RecurrentGenerator | MelganGenerator


def generator_of(config: InverterConfig) -> type[Generator]:
    """Returns the class of the generator with these sizes."""
    if isinstance(config, MelganConfig):
        return MelganGenerator
    if isinstance(config, RecurrentConfig):
        return RecurrentGenerator
    return FrameRateGenerator


def count_parameters(config: InverterConfig) -> int:
    """Returns the number of trained parameters."""
    return sum(map(math.prod, define(generator_of(config), config).named_shapes.values()))


def display_name(config: InverterConfig) -> str:
    """Returns the name of a kind of inverter in reports."""
    if isinstance(config, MelganConfig):
        return "melgan"
    return "recurrent" if isinstance(config, RecurrentConfig) else "frame-rate"


def period(config: InverterConfig) -> int:
    """Returns the number of frames after which a generator's oscillators repeat; 1 without any."""
    return 1 if isinstance(config, MelganConfig | RecurrentConfig) else PERIOD_FRAMES


def reach_frames(config: InverterConfig) -> int:
    """Returns the largest distance of frames that the audio of a frame depends on."""
    if isinstance(config, MelganConfig):
        return melgan_reach_frames()
    convolutions = (1 + config.layers) * (config.kernel_frames // 2)
    # The window of a frame extends beyond it by the same number of hops on both sides.
    return convolutions + config.window_samples // HOP_SAMPLES // 2


def generate(
    config: InverterConfig,
    params: Params,
    log_mel: Float[Array, "B F M"],
    dtype: DTypeLike = jnp.float32,
    *,
    remat: bool = False,
    start: Int[Array, " B"] | None = None,
) -> Float32[Array, "B samples"]:
    """Computes audio, F * 320 samples, from features.

    Args:
        config: sizes.
        params: parameters of the generator.
        log_mel: unscaled features.
        dtype: type of the products.
        remat: recompute activations in the backward pass.
        start: position of the first frame in the period of the oscillators (see `period`); 0 if
            None.
    """
    network = define(generator_of(config), config, dtype=dtype, remat=remat)
    return network.merge(params)(log_mel, start)


def read_heads(
    config: RecurrentConfig,
    params: Params,
    log_mel: Float[Array, "B F M"],
    dtype: DTypeLike = jnp.float32,
    *,
    remat: bool = False,
) -> Heads:
    """Computes the outputs of a recurrent generator's network; see `generate`."""
    return define(RecurrentGenerator, config, dtype=dtype, remat=remat).merge(params).heads(log_mel)
