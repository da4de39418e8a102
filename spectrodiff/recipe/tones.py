"""Tones of any frequency, made on the device: no soundfont plays between its keys.

An inverter that has heard nothing but tempered keys draws everything to them. These tones have
harmonic or stretched partials, vibrato, decays and attacks at random. Axis letters: B batch,
V voices, S samples.
"""

import math

import jax
import jax.numpy as jnp

from spectrodiff.core.constants import FRAMES_PER_SECOND, HOP_SAMPLES, SAMPLE_RATE

VOICES, PARTIALS = 3, 40
LOWEST_HZ, HIGHEST_HZ, LIMIT_HZ = 28.0, 2800.0, 7800.0


def draw_tones(key: jax.Array, batch_size: int, samples: int) -> jax.Array:
    """Random sounds of one to three tones.

    Args:
        key: consumed.
        batch_size: B.
        samples: S, a multiple of 320.

    Returns:
        int16 [B, S]; the peaks lie between 30 dB below full scale and full scale.
    """
    keys = jax.random.split(key, 10)
    shape = (batch_size, VOICES, 1)

    def uniform(number: int, low: float, high: float) -> jax.Array:
        return jax.random.uniform(keys[number], shape, minval=low, maxval=high)

    hertz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** uniform(0, 0.0, 1.0)
    # Every third sound has stretched partials, every fifth vibrato of up to 30 cents.
    stretch = jnp.where(uniform(1, 0.0, 3.0) < 1, 10.0 ** uniform(2, -6.0, -3.3), 0.0)
    depth = jnp.where(uniform(3, 0.0, 5.0) < 1, uniform(4, 0.0, 30.0) * math.log(2) / 1200, 0.0)
    seconds = jnp.arange(samples, dtype=jnp.float32)[None, None] / SAMPLE_RATE
    wobble = sway(uniform(5, 3.0, 7.0), depth, seconds)
    decay = jnp.maximum(uniform(6, -4.0, 4.0), 0.0)  # half of them do not decay, [1 / s]
    tilt = uniform(7, 0.5, 2.0)
    begins = uniform(8, -1.5, 1.0) * samples / SAMPLE_RATE / 2
    loudness_key, level_key, partial_key = jax.random.split(keys[9], 3)

    def add(sound: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        phase_key, size_key = jax.random.split(jax.random.fold_in(partial_key, number))
        partial = hertz * number * jnp.sqrt(1 + stretch * number**2)
        size = number**-tilt * jax.random.uniform(size_key, shape, minval=0.3)
        size = jnp.where(partial < LIMIT_HZ, size, 0.0)
        size = size * jnp.exp(-decay * (1 + 0.1 * number) * seconds)
        cycles = count_cycles(partial, samples) + partial * wobble
        return sound + size * jnp.cos(
            2 * jnp.pi * (cycles + jax.random.uniform(phase_key, shape))
        ), None

    numbers = jnp.arange(1, PARTIALS + 1, dtype=jnp.float32)
    voices, _ = jax.lax.scan(add, jnp.zeros((batch_size, VOICES, samples)), numbers)
    voices = jnp.where(seconds >= begins, voices, 0.0)
    voices = voices / (jnp.abs(voices).max(axis=-1, keepdims=True) + 1e-6)
    # The first voice always sounds, each other one half of the time.
    loudness = jax.random.uniform(loudness_key, shape, minval=-0.8)
    loudness = jnp.maximum(loudness, jnp.array([0.2, 0.0, 0.0])[None, :, None])
    sound = (loudness * voices).sum(axis=1)
    level = 10 ** jax.random.uniform(level_key, (batch_size, 1), minval=-1.5, maxval=0.0)
    sound = level * sound / (jnp.abs(sound).max(axis=-1, keepdims=True) + 1e-6)
    return jnp.round(32767 * sound).astype(jnp.int16)


def count_cycles(hertz: jax.Array, samples: int) -> jax.Array:
    """Cycles that a tone has made by each sample, up to whole numbers; exact to about 1e-5.

    Args:
        hertz: [B, V, 1].
        samples: S, a multiple of 320.

    Returns:
        [B, V, S].
    """
    # Whole cycles of a frame are left out, since float32 has no room for their fractions.
    frames = jnp.arange(samples // HOP_SAMPLES, dtype=jnp.float32)[None, None, :, None]
    within = jnp.arange(HOP_SAMPLES, dtype=jnp.float32)[None, None, None] / SAMPLE_RATE
    hertz = hertz[..., None]
    cycles = (hertz / FRAMES_PER_SECOND % 1) * frames + hertz * within
    return cycles.reshape(*cycles.shape[:2], samples)


def sway(rate: jax.Array, depth: jax.Array, seconds: jax.Array) -> jax.Array:
    """Seconds by which vibrato is ahead of steady time: its relative frequency, integrated."""
    turns = 2 * jnp.pi * rate
    return depth * (1 - jnp.cos(turns * seconds)) / turns
