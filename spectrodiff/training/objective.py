"""What a network is trained to do: a loss to follow, and scores that say how well it does.

An objective knows nothing of devices, optimisers or files. `loss` is random (times, noise, dropout,
hidden conditioning) and consumes its key; `scores` is deterministic: what it says about an example
depends on the parameters and on that example alone, not on the rest of the batch.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from spectrodiff.models.config import ModelConfig
from spectrodiff.synthesis.songs import SegmentGenerator
from spectrodiff.training.segments import Segment
from spectrodiff.training.settings import Diffusion, Network, Training

Params = dict[str, Any]
Scores = dict[str, jax.Array]


class Objective(Protocol):
    """What the training loop needs to know about a kind of model."""

    @property
    def config(self) -> ModelConfig:
        """Sizes of the network."""
        ...

    def init_params(self, seed: int) -> Params:
        """Parameters before any training."""
        ...

    def loss(self, params: Params, segment: Segment, key: jax.Array) -> jax.Array:
        """Mean loss of a batch of segments, with all that is random in training."""
        ...

    def scores(self, params: Params, segment: Segment, keys: jax.Array) -> Scores:
        """Name to one number per example, [B]; "loss" is among them.

        Args:
            params: of the network.
            segment: a batch of segments.
            keys: one key per example, the same whenever the example is scored.
        """
        ...

    def gap(
        self, params: Params, segment: Segment, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """How much worse each example gets with another one's notes; empty if that is not known."""
        ...

    def generator(self, params: Params, mesh: Mesh) -> SegmentGenerator:
        """Draws segments, fast rather than well, to see and hear how far training is."""
        ...


def make_objective(network: Network, diffusion: Diffusion, training: Training) -> Objective:
    """The objective of a kind of network."""
    from spectrodiff.training.autoregressive_objective import AutoregressiveObjective
    from spectrodiff.training.diffusion_objective import DiffusionObjective

    dtype = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}[training.precision]
    if network.kind == "autoregressive":
        return AutoregressiveObjective(network.config(), dtype, training.remat)
    return DiffusionObjective(network.config(), diffusion, dtype, training.remat)
