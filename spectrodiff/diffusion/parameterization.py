"""Prediction types: the network's output is the noise eps, the clean features x0, or v.

With z = alpha x0 + sigma eps, v = alpha eps - sigma x0 (Salimans & Ho 2022). Each of the three
together with z determines the others. Functions take NumPy or JAX arrays; alpha and sigma broadcast
against z.
"""

from typing import Literal

from jaxtyping import Float

from spectrodiff.diffusion.schedule import AnyArray

Prediction = Literal["eps", "x0", "v"]


def to_x0(
    prediction: Prediction,
    output: Float[AnyArray, "*shape"],
    z: Float[AnyArray, "*shape"],
    alpha: Float[AnyArray, "*#shape"],
    sigma: Float[AnyArray, "*#shape"],
) -> Float[AnyArray, "*shape"]:
    """Converts the network's output to clean features."""
    if prediction == "eps":
        return (z - sigma * output) / alpha
    if prediction == "v":
        return alpha * z - sigma * output
    return output


def to_eps(
    prediction: Prediction,
    output: Float[AnyArray, "*shape"],
    z: Float[AnyArray, "*shape"],
    alpha: Float[AnyArray, "*#shape"],
    sigma: Float[AnyArray, "*#shape"],
) -> Float[AnyArray, "*shape"]:
    """Converts the network's output to noise."""
    if prediction == "eps":
        return output
    if prediction == "v":
        return sigma * z + alpha * output
    return (z - alpha * output) / sigma


def v_of(
    x0: Float[AnyArray, "*shape"],
    eps: Float[AnyArray, "*shape"],
    alpha: Float[AnyArray, "*#shape"],
    sigma: Float[AnyArray, "*#shape"],
) -> Float[AnyArray, "*shape"]:
    """Computes the velocity v from clean features and noise."""
    return alpha * eps - sigma * x0
