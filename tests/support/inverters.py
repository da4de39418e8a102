"""Inverters with random parameters or known answers, and features for them."""

import jax
import numpy as np

from spectrodiff.checkpoints.tree import nest
from spectrodiff.inverter import Inverter
from spectrodiff.inverter.config import SIZES
from spectrodiff.inverter.files import StoredInverter
from spectrodiff.inverter.networks.generators import generate, generator_of
from spectrodiff.models.definition import define

# The two generators without a recurrent state, as small as they get.
KINDS = ["tiny", "melgan_tiny"]

generate_compiled = jax.jit(generate, static_argnums=(0, 3))


def random_inverter(kind, seed=0):
    """Parameters large enough that every part of the network shows in the audio."""
    config = SIZES[kind]
    rng = np.random.default_rng(seed)
    flat = {
        name: rng.normal(0, 0.5 * np.prod(shape[:-1]) ** -0.5, shape).astype(np.float32)
        + name.endswith("scale")
        for name, shape in define(generator_of(config), config).named_shapes.items()
    }
    return StoredInverter(config, nest(flat))


def random_features(count, seed=0):
    """Uniformly distributed log-mel values, float32 [count, 128]."""
    return np.random.default_rng(seed).uniform(-6, 3, (count, 128)).astype(np.float32)


class LoudnessInverter(Inverter):
    """Repeats each frame's mean 320 times, so the expected audio is known exactly."""

    name = "loudness"
    reach_frames = 3

    def __call__(self, log_mel):
        return np.repeat(log_mel.mean(axis=1, dtype=np.float32), 320) / 100


class HissInverter(Inverter):
    """Repeats 20 ms of noise, as loud as each frame: without tones, but not without phases."""

    name = "hiss"
    reach_frames = 0
    noise = np.random.default_rng(0).normal(0, 0.1, 320).astype(np.float32)

    def __call__(self, log_mel):
        levels = np.exp(log_mel.mean(axis=1, dtype=np.float32))
        return np.outer(levels, self.noise).reshape(-1)
