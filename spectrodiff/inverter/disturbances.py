"""Augmentation of features with errors like those of a synthesizer, for robust inverters."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from spectrodiff.core.constants import MIN_LOG_MEL


def disturb(
    log_mel: Float[Array, "B F M"], key: Key[Array, ""], *, share: float, noise: float, blur: float
) -> Float[Array, "B F M"]:
    """Adds noise to a fraction of the examples and blurs them, by a random amount per example.

    Args:
        log_mel: unscaled features.
        key: consumed.
        share: fraction of the examples that are disturbed, in [0, 1].
        noise: maximum standard deviation of the noise, in units of log-mel.
        blur: maximum fraction of each value that is spread over its neighbors in time and
            frequency, in [0, 1].

    Returns:
        Features, limited to the minimum of log-mel.
    """
    share_key, noise_key, blur_key, normal_key = jax.random.split(key, 4)
    shape = (len(log_mel), 1, 1)
    chosen = jax.random.bernoulli(share_key, share, shape)
    spread = blur * jax.random.uniform(blur_key, shape)
    deviation = noise * jax.random.uniform(noise_key, shape)
    disturbed = log_mel + spread * (smooth(smooth(log_mel, 1), 2) - log_mel)
    disturbed += deviation * jax.random.normal(normal_key, log_mel.shape)
    return jnp.where(chosen, jnp.maximum(disturbed, MIN_LOG_MEL), log_mel)


def smooth(x: Float[Array, "*shape"], axis: int) -> Float[Array, "*shape"]:
    """Convolves with (1/4, 1/2, 1/4) along an axis; values at the ends are repeated beyond them."""
    edges = [(1, 1) if number == axis else (0, 0) for number in range(x.ndim)]
    padded = jnp.pad(x, edges, mode="edge")
    length = x.shape[axis]
    before, after = (
        jax.lax.slice_in_dim(padded, start, start + length, axis=axis) for start in (0, 2)
    )
    return 0.5 * x + 0.25 * (before + after)
