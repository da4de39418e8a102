"""Features made slightly wrong, as those of a synthesiser are, so that an inverter forgives it."""

import jax
import jax.numpy as jnp

from spectrodiff.core.constants import MIN_LOG_MEL


def disturb(
    log_mel: jax.Array, key: jax.Array, *, share: float, noise: float, blur: float
) -> jax.Array:
    """Adds noise to some examples and blurs them, each by amounts of its own.

    Args:
        log_mel: unscaled features [B, F, M].
        key: consumed.
        share: how many of the examples are disturbed.
        noise: the largest standard deviation of the noise, in units of log-mel.
        blur: the largest share of every value that is spread over its neighbours in time and
            frequency.

    Returns:
        [B, F, M], nowhere below the floor of log-mel.
    """
    share_key, noise_key, blur_key, normal_key = jax.random.split(key, 4)
    shape = (len(log_mel), 1, 1)
    chosen = jax.random.bernoulli(share_key, share, shape)
    spread = blur * jax.random.uniform(blur_key, shape)
    deviation = noise * jax.random.uniform(noise_key, shape)
    disturbed = log_mel + spread * (smooth(smooth(log_mel, 1), 2) - log_mel)
    disturbed += deviation * jax.random.normal(normal_key, log_mel.shape)
    return jnp.where(chosen, jnp.maximum(disturbed, MIN_LOG_MEL), log_mel)


def smooth(x: jax.Array, axis: int) -> jax.Array:
    """A quarter of either neighbour and half of each value; what is at the ends stays there."""
    edges = [(1, 1) if number == axis else (0, 0) for number in range(x.ndim)]
    padded = jnp.pad(x, edges, mode="edge")
    length = x.shape[axis]
    before, after = (
        jax.lax.slice_in_dim(padded, start, start + length, axis=axis) for start in (0, 2)
    )
    return 0.5 * x + 0.25 * (before + after)
