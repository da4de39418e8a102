"""The generators by their sizes: making, initialising and naming their parameters."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from spectrodiff.core.constants import HOP_SAMPLES
from spectrodiff.inverter.config import InverterConfig, MelganConfig, RecurrentConfig
from spectrodiff.inverter.networks.frame_rate import FrameRateGenerator
from spectrodiff.inverter.networks.melgan import MelganGenerator, reach_frames
from spectrodiff.inverter.networks.oscillators import PERIOD_FRAMES
from spectrodiff.inverter.networks.recurrent import Heads, RecurrentGenerator
from spectrodiff.models.definition import Params, define

Generator = FrameRateGenerator | RecurrentGenerator | MelganGenerator


def generator_of(config: InverterConfig) -> type[Generator]:
    """Class of the generator: unscaled log-mel [B, F, 128] -> audio [B, F * 320]."""
    if isinstance(config, MelganConfig):
        return MelganGenerator
    if isinstance(config, RecurrentConfig):
        return RecurrentGenerator
    return FrameRateGenerator


def count_parameters(config: InverterConfig) -> int:
    """How many numbers are learnt."""
    return sum(map(math.prod, define(generator_of(config), config).named_shapes.values()))


def display_name(config: InverterConfig) -> str:
    """How reports call an inverter of this kind."""
    if isinstance(config, MelganConfig):
        return "melgan"
    return "recurrent" if isinstance(config, RecurrentConfig) else "frame-rate"


def period(config: InverterConfig) -> int:
    """After how many frames a generator treats features as it did before."""
    return 1 if isinstance(config, MelganConfig | RecurrentConfig) else PERIOD_FRAMES


def receptive_field(config: InverterConfig) -> int:
    """How many frames away, on either side, the audio of a frame depends on the features."""
    if isinstance(config, MelganConfig):
        return reach_frames()
    convolutions = (1 + config.layers) * (config.kernel_frames // 2)
    # The window of a frame begins a whole number of hops before it, and ends as many after.
    return convolutions + config.window_samples // HOP_SAMPLES // 2


def generate(
    config: InverterConfig,
    params: Params,
    log_mel: jax.Array,
    dtype: DTypeLike = jnp.float32,
    *,
    remat: bool = False,
    start: jax.Array | None = None,
) -> jax.Array:
    """Audio [B, F * 320], float32, from unscaled features [B, F, 128].

    `start`, int32 [B], says how far into a period (see `period`) the first frames are; by default
    at its beginning.
    """
    network = define(generator_of(config), config, dtype=dtype, remat=remat)
    return network.merge(params)(log_mel, start)


def read_heads(
    config: RecurrentConfig,
    params: Params,
    log_mel: jax.Array,
    dtype: DTypeLike = jnp.float32,
    *,
    remat: bool = False,
) -> Heads:
    """Outputs of a recurrent generator's network for unscaled features [B, F, 128]."""
    return define(RecurrentGenerator, config, dtype=dtype, remat=remat).merge(params).heads(log_mel)
