"""What training minimises (in the paper L1 on eps; the rest are its ablations)."""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.parameterization import Prediction, to_eps, to_x0, v_of

LossTarget = Literal["eps", "x0", "v", "x0_and_eps", "max_x0_eps"]
LossNorm = Literal["l1", "l2"]


@dataclasses.dataclass(frozen=True)
class DenoisingLoss:
    """A distance between what the network says and what was mixed.

    `target` is where the distance is taken, independently of what the network predicts: on the
    noise, on the clean features, on v, on the sum of the first two, or on the larger of them for
    each example.
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
        output: jax.Array,
        x0: jax.Array,
        eps: jax.Array,
        alpha: jax.Array,
        sigma: jax.Array,
    ) -> jax.Array:
        """Mean over the features of each example.

        Args:
            prediction: what the output is.
            output: of the network for z = alpha x0 + sigma eps, [B, F, M].
            x0: clean features [B, F, M].
            eps: the noise in z, [B, F, M].
            alpha: signal scale [B, 1, 1].
            sigma: noise scale [B, 1, 1].

        Returns:
            [B].
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

    def _distance(self, estimate: jax.Array, truth: jax.Array) -> jax.Array:
        difference = estimate - truth
        each = jnp.abs(difference) if self.norm == "l1" else jnp.square(difference)
        return each.mean(axis=(-2, -1))
