"""The generators by their sizes: making, initialising and naming their parameters."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.core.constants import HOP_SAMPLES
from spectrodiff.inverter.config import InverterConfig, MelganConfig, RecurrentConfig
from spectrodiff.inverter.networks.frame_rate import FrameRateGenerator
from spectrodiff.inverter.networks.melgan import MelganGenerator, reach_frames
from spectrodiff.inverter.networks.oscillators import PERIOD_FRAMES
from spectrodiff.inverter.networks.recurrent import Heads, RecurrentGenerator, to_audio, unrolled

Params = dict[str, Any]
Generator = FrameRateGenerator | RecurrentGenerator | MelganGenerator


def make_generator(
    config: InverterConfig, *, dtype: DTypeLike = jnp.float32, remat: bool = False, rngs: nnx.Rngs
) -> Generator:
    """A generator with random parameters: unscaled log-mel [B, F, 128] -> audio [B, F * 320]."""
    if isinstance(config, MelganConfig):
        return MelganGenerator(config, dtype=dtype, remat=remat, rngs=rngs)
    if isinstance(config, RecurrentConfig):
        return RecurrentGenerator(config, dtype=dtype, remat=remat, rngs=rngs)
    return FrameRateGenerator(config, dtype=dtype, remat=remat, rngs=rngs)


@functools.lru_cache(maxsize=8)
def definition(
    config: InverterConfig, dtype: Any = jnp.float32, remat: bool = False
) -> nnx.GraphDef:
    """The generator without its parameters; `nnx.merge(definition(...), params)` is the whole."""
    return nnx.split(
        nnx.eval_shape(lambda: make_generator(config, dtype=dtype, remat=remat, rngs=nnx.Rngs(0)))
    )[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def init_params(config: InverterConfig, seed: int) -> Params:
    """Parameters before any training, float32."""
    model = make_generator(config, rngs=nnx.Rngs(seed))
    params: Params = nnx.to_pure_dict(nnx.state(model))
    return params


def expected_shapes(config: InverterConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter by name, the levels of the tree joined by "/"."""
    abstract = jax.eval_shape(lambda: init_params(config, 0))
    leaves = jax.tree_util.tree_leaves_with_path(abstract)
    return {"/".join(entry.key for entry in path): leaf.shape for path, leaf in leaves}


def count_parameters(config: InverterConfig) -> int:
    """How many numbers are learnt."""
    return sum(math.prod(shape) for shape in expected_shapes(config).values())


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
    dtype: Any = jnp.float32,
    *,
    remat: bool = False,
    start: jax.Array | None = None,
) -> jax.Array:
    """Audio [B, F * 320], float32, from unscaled features [B, F, 128].

    `start`, int32 [B], says how far into a period (see `period`) the first frames are; by default
    at its beginning.
    """
    if isinstance(config, RecurrentConfig):
        return to_audio(unrolled(read_heads(config, params, log_mel, dtype, remat=remat)))
    audio: jax.Array = nnx.merge(definition(config, dtype, remat), params)(log_mel, start)
    return audio


def read_heads(
    config: RecurrentConfig,
    params: Params,
    log_mel: jax.Array,
    dtype: Any = jnp.float32,
    *,
    remat: bool = False,
) -> Heads:
    """Outputs of a recurrent generator's network for unscaled features [B, F, 128]."""
    heads: Heads = nnx.merge(definition(config, dtype, remat), params).heads(log_mel)
    return heads


def to_host(params: Params) -> Params:
    """Numpy arrays, float32."""
    host: Params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params)
    return host
