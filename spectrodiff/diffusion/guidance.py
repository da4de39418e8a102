"""Classifier-free guidance (Ho & Salimans 2021)."""

from jaxtyping import Array, Float


def guide(
    conditional: Float[Array, "*shape"],
    unconditional: Float[Array, "*shape"],
    weight: float | Float[Array, ""],
) -> Float[Array, "*shape"]:
    """Returns w * conditional + (1 - w) * unconditional.

    A weight of 1 gives the conditional prediction; larger weights amplify the effect of the
    condition. Guidance of the network's output is equivalent to guidance of eps or x0, since
    these are affine in it.
    """
    return weight * conditional + (1.0 - weight) * unconditional
