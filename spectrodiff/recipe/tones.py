"""Random synthetic tones of any frequency, computed on the device.

An inverter trained on tempered pitches alone pulls other pitches towards them, and a soundfont has
no others. These tones have harmonic or stretched partials, and random vibrato, decays and attacks.
Axis letters: B batch, V voices, S samples.
"""

import math

import jax
import jax.numpy as jnp

from spectrodiff.core.constants import FRAMES_PER_SECOND, HOP_SAMPLES, SAMPLE_RATE

VOICES, PARTIALS = 3, 40
LOWEST_HZ, HIGHEST_HZ, LIMIT_HZ = 28.0, 2800.0, 7800.0


def draw_tones(key: jax.Array, batch_size: int, samples: int) -> jax.Array:
    """Returns random mixtures of one to three tones.

    Args:
        key: consumed.
        batch_size: B.
        samples: S, a multiple of 320.

    Returns:
        Int16 [B, S] at 16 kHz, with peaks between -30 dB and 0 dB relative to full scale.
    """
    keys = jax.random.split(key, 10)
    shape = (batch_size, VOICES, 1)

    def uniform(number: int, low: float, high: float) -> jax.Array:
        return jax.random.uniform(keys[number], shape, minval=low, maxval=high)

    hertz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** uniform(0, 0.0, 1.0)
    # A third of the tones have stretched partials, a fifth have vibrato of up to 30 cents.
    stretch = jnp.where(uniform(1, 0.0, 3.0) < 1, 10.0 ** uniform(2, -6.0, -3.3), 0.0)
    depth = jnp.where(uniform(3, 0.0, 5.0) < 1, uniform(4, 0.0, 30.0) * math.log(2) / 1200, 0.0)
    seconds = jnp.arange(samples, dtype=jnp.float32)[None, None] / SAMPLE_RATE
    ahead = vibrato(uniform(5, 3.0, 7.0), depth, seconds)
    decay = jnp.maximum(uniform(6, -4.0, 4.0), 0.0)  # 1 / s; half of the tones do not decay
    tilt = uniform(7, 0.5, 2.0)
    starts = uniform(8, -1.5, 1.0) * samples / SAMPLE_RATE / 2
    loudness_key, level_key, partial_key = jax.random.split(keys[9], 3)

    def add_partial(tones: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        phase_key, size_key = jax.random.split(jax.random.fold_in(partial_key, number))
        partial = hertz * number * jnp.sqrt(1 + stretch * number**2)
        size = number**-tilt * jax.random.uniform(size_key, shape, minval=0.3)
        size = jnp.where(partial < LIMIT_HZ, size, 0.0)
        size = size * jnp.exp(-decay * (1 + 0.1 * number) * seconds)
        cycles = count_cycles(partial, samples) + partial * ahead
        phase = jax.random.uniform(phase_key, shape)
        return tones + size * jnp.cos(2 * jnp.pi * (cycles + phase)), None

    numbers = jnp.arange(1, PARTIALS + 1, dtype=jnp.float32)
    voices, _ = jax.lax.scan(add_partial, jnp.zeros((batch_size, VOICES, samples)), numbers)
    voices = jnp.where(seconds >= starts, voices, 0.0)
    voices = voices / (jnp.abs(voices).max(axis=-1, keepdims=True) + 1e-6)
    # The first voice is always present, each of the others in half of the mixtures.
    loudness = jax.random.uniform(loudness_key, shape, minval=-0.8)
    loudness = jnp.maximum(loudness, jnp.array([0.2, 0.0, 0.0])[None, :, None])
    audio = (loudness * voices).sum(axis=1)
    level = 10 ** jax.random.uniform(level_key, (batch_size, 1), minval=-1.5, maxval=0.0)
    audio = level * audio / (jnp.abs(audio).max(axis=-1, keepdims=True) + 1e-6)
    return jnp.round(32767 * audio).astype(jnp.int16)


def count_cycles(hertz: jax.Array, samples: int) -> jax.Array:
    """Returns the phase of a tone at each sample in cycles, modulo 1; exact to about 1e-5.

    Args:
        hertz: [B, V, 1].
        samples: S, a multiple of 320.

    Returns:
        [B, V, S].
    """
    # Whole cycles per frame are left out: float32 would lose the fractions of large numbers.
    frames = jnp.arange(samples // HOP_SAMPLES, dtype=jnp.float32)[None, None, :, None]
    within = jnp.arange(HOP_SAMPLES, dtype=jnp.float32)[None, None, None] / SAMPLE_RATE
    hertz = hertz[..., None]
    cycles = (hertz / FRAMES_PER_SECOND % 1) * frames + hertz * within
    return cycles.reshape(*cycles.shape[:2], samples)


def vibrato(rate: jax.Array, depth: jax.Array, seconds: jax.Array) -> jax.Array:
    """Returns the integral of the relative frequency deviation of a vibrato, in seconds.

    Args:
        rate: oscillations per second.
        depth: maximum relative frequency deviation.
        seconds: times to integrate to.
    """
    turns = 2 * jnp.pi * rate
    return depth * (1 - jnp.cos(turns * seconds)) / turns
