"""Training loss: in the paper L1 on eps; the other targets and L2 are its ablations."""

import dataclasses
from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.parameterization import Prediction, to_eps, to_x0, v_of

LossTarget = Literal["eps", "x0", "v", "x0_and_eps", "max_x0_eps"]
LossNorm = Literal["l1", "l2"]


@dataclasses.dataclass(frozen=True)
class DenoisingLoss:
    """Distance between the network's prediction and the noise and features it was mixed from.

    Attributes:
        target: quantity that the distance is computed on, whatever the network predicts: the noise
            "eps", the clean features "x0", "v", or the sum or per-example maximum of the distances
            on x0 and eps.
        norm: "l1" for absolute, "l2" for squared differences.

    Raises:
        ConfigError: for another target or norm.
    """

    target: LossTarget = "eps"
    norm: LossNorm = "l1"

    def __post_init__(self) -> None:
        for name, choices in (("target", LossTarget), ("norm", LossNorm)):
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"DenoisingLoss.{name}",
                    f"one of {', '.join(get_args(choices))}",
                    repr(getattr(self, name)),
                )

    def __call__(
        self,
        prediction: Prediction,
        output: Float[Array, "B F outputs"],
        x0: Float[Array, "B F M"],
        eps: Float[Array, "B F M"],
        alpha: Float[Array, "B 1 1"],
        sigma: Float[Array, "B 1 1"],
    ) -> Float[Array, " B"]:
        """Computes the mean distance over the features of each example.

        Args:
            prediction: quantity that the output stands for.
            output: output of the network for z = alpha x0 + sigma eps.
            x0: clean features.
            eps: noise in z.
            alpha: signal scale.
            sigma: noise scale.

        Returns:
            The distance of each example, 0 or more.
        """
        z = alpha * x0 + sigma * eps
        x0_hat = to_x0(prediction, output, z, alpha, sigma)
        eps_hat = to_eps(prediction, output, z, alpha, sigma)
        if self.target == "eps":
            return self._distance(eps_hat, eps)
        if self.target == "x0":
            return self._distance(x0_hat, x0)
        if self.target == "v":
            v_hat = v_of(x0_hat, eps_hat, alpha, sigma)
            return self._distance(v_hat, v_of(x0, eps, alpha, sigma))
        on_x0, on_eps = self._distance(x0_hat, x0), self._distance(eps_hat, eps)
        return on_x0 + on_eps if self.target == "x0_and_eps" else jnp.maximum(on_x0, on_eps)

    def _distance(
        self, estimate: Float[Array, "B F M"], truth: Float[Array, "B F M"]
    ) -> Float[Array, " B"]:
        difference = estimate - truth
        each = jnp.abs(difference) if self.norm == "l1" else jnp.square(difference)
        return each.mean(axis=(-2, -1))
