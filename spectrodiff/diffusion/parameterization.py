"""Prediction types: the network's output is the noise eps, the clean features x0, v, or x0 and eps.

With z = alpha x0 + sigma eps, v = alpha eps - sigma x0 (Salimans & Ho 2022). Each of the three
together with z determines the others. A network that outputs "x0_and_eps" has two estimates of x0:
its own, and the one that follows from its eps. They are averaged with weights sigma^2 and alpha^2,
so that each counts where it is the better one. Functions take NumPy or JAX arrays; alpha and sigma
broadcast against z.
"""

from typing import Literal

from jaxtyping import Float

from spectrodiff.diffusion.schedule import AnyArray

Prediction = Literal["eps", "x0", "v", "x0_and_eps"]


def estimates(prediction: Prediction) -> int:
    """Returns how many estimates the network outputs for every feature: 2 for "x0_and_eps"."""
    return 2 if prediction == "x0_and_eps" else 1


def to_x0(
    prediction: Prediction,
    output: Float[AnyArray, "*outputs"],
    z: Float[AnyArray, "*shape"],
    alpha: Float[AnyArray, "*#shape"],
    sigma: Float[AnyArray, "*#shape"],
) -> Float[AnyArray, "*shape"]:
    """Converts the network's output to clean features.

    Args:
        prediction: quantity that the output stands for.
        output: output of the network for z; with "x0_and_eps" M entries of x0, then M of eps.
        z: noisy features.
        alpha: signal scale.
        sigma: noise scale.
    """
    if prediction == "eps":
        return (z - sigma * output) / alpha
    if prediction == "v":
        return alpha * z - sigma * output
    if prediction == "x0_and_eps":
        x0, eps = _halves(output, z)
        return sigma**2 * x0 + alpha * (z - sigma * eps)
    return output


def to_eps(
    prediction: Prediction,
    output: Float[AnyArray, "*outputs"],
    z: Float[AnyArray, "*shape"],
    alpha: Float[AnyArray, "*#shape"],
    sigma: Float[AnyArray, "*#shape"],
) -> Float[AnyArray, "*shape"]:
    """Converts the network's output to noise; the arguments are those of `to_x0`."""
    if prediction == "eps":
        return output
    if prediction == "v":
        return sigma * z + alpha * output
    if prediction == "x0_and_eps":
        x0, eps = _halves(output, z)
        return sigma * (z - alpha * x0) + alpha**2 * eps
    return (z - alpha * output) / sigma


def v_of(
    x0: Float[AnyArray, "*shape"],
    eps: Float[AnyArray, "*shape"],
    alpha: Float[AnyArray, "*#shape"],
    sigma: Float[AnyArray, "*#shape"],
) -> Float[AnyArray, "*shape"]:
    """Computes the velocity v from clean features and noise."""
    return alpha * eps - sigma * x0


def _halves(
    output: Float[AnyArray, "*outputs"], z: Float[AnyArray, "*shape"]
) -> tuple[Float[AnyArray, "*shape"], Float[AnyArray, "*shape"]]:
    features = z.shape[-1]
    return output[..., :features], output[..., features:]
