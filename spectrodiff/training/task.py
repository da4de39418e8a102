"""What a network is trained to do: a loss to follow, and scores that say how well it does.

An objective knows nothing of devices, optimisers or files. `loss` is random (times, noise, dropout,
hidden conditioning) and consumes its key; `scores` is deterministic: what it says about an example
depends on the parameters and on that example alone, not on the rest of the batch.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization
from spectrodiff.training.examples import Segment, SegmentSizes
from spectrodiff.training.settings import Diffusion, Inversion, Network, Training

Params = dict[str, Any]
Scores = dict[str, jax.Array]


class Played(NamedTuple):
    """What a network makes of a batch of segments."""

    log_mel: np.ndarray  # unscaled features [B, F, M]
    audio: list[np.ndarray]  # float32 [samples] each


class Objective(Protocol):
    """What the training loop needs to know about a kind of model."""

    @property
    def config(self) -> SegmentSizes:
        """Sizes of the network, or at least of its segments."""
        ...

    def init_params(self, seed: int) -> Params:
        """Parameters before any training."""
        ...

    def loss(self, params: Params, segment: Segment, key: jax.Array) -> jax.Array | Scores:
        """Mean loss of a batch of segments, with all that is random in training.

        Or that under the name "loss", and under other names what it is made of.
        """
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

    def play(self, params: Params, segment: Segment, keys: jax.Array, mesh: Mesh) -> Played:
        """Plays segments, fast rather than well, to see and hear how far training is."""
        ...


def make_objective(
    network: Network,
    diffusion: Diffusion,
    training: Training,
    inversion: Inversion | None = None,
    *,
    tokenization: Tokenization = RELEASED_TOKENIZATION,
    sampling: Sampling = PAPER_SAMPLING,
) -> Objective:
    """The objective of a kind of network; that of an inverter if `inversion` is given."""
    from spectrodiff.training.tasks.autoregress import AutoregressiveObjective
    from spectrodiff.training.tasks.denoise import DiffusionObjective
    from spectrodiff.training.tasks.denoised import open_denoiser
    from spectrodiff.training.tasks.invert import InversionObjective

    dtype = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}[training.precision]
    if inversion is not None:
        denoised = None
        if inversion.denoiser is not None:
            denoised = open_denoiser(inversion.denoiser, inversion.window_frames)
        return InversionObjective(inversion, dtype, training.remat, denoised)
    if network.kind == "autoregressive":
        return AutoregressiveObjective(network.config(tokenization), dtype, training.remat)
    return DiffusionObjective(
        network.config(tokenization),
        diffusion,
        dtype,
        training.remat,
        network.initialization,
        sampling,
    )
