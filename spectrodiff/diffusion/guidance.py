"""Classifier-free guidance (Ho & Salimans 2021)."""

import jax


def guide(conditional: jax.Array, unconditional: jax.Array, weight: float | jax.Array) -> jax.Array:
    """w conditional + (1 - w) unconditional.

    A weight of 1 is the conditional prediction alone; larger weights exaggerate what the condition
    changes. It means the same for eps, x0 and v, which are affine in one another.
    """
    return weight * conditional + (1.0 - weight) * unconditional
