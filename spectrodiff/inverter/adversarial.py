"""Adversarial losses of a generator and its discriminators.

All losses are added up. The discriminators' losses stop gradients at the audio, and the generator's
losses stop them at the discriminators' parameters; the gradient of the sum is therefore that of
each network's own loss, and one step updates both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float32

from spectrodiff.inverter.networks.discriminators import (
    Discriminators,
    DiscriminatorsConfig,
    Judgment,
)
from spectrodiff.models.definition import Params, define, init_params

# A hinge loss is about 2 while a discriminator cannot tell recorded from inverted audio. Near 0, it
# gives the generator no useful gradient any more.
COLLAPSED_BELOW = 0.01
PREFIX = "discriminator_"


class AdversarialLosses(NamedTuple):
    """Losses of one training step."""

    adversarial: Float32[Array, ""]  # of the generator
    feature_match: Float32[Array, ""]  # of the generator
    discriminators: dict[str, Float32[Array, ""]]  # by name, prefixed with "discriminator_"


def init_discriminators(config: DiscriminatorsConfig, seed: int) -> Params:
    """Returns the parameters of the discriminators before training, float32."""
    # This kind of random bits compiles in a third of the time; values differ between platforms.
    return init_params(Discriminators, config, seed, random_bits="rbg")


def adversarial_losses(
    config: DiscriminatorsConfig,
    params: Params,
    inverted: Float32[Array, "B samples"],
    recorded: Float32[Array, "B samples"],
    dtype: DTypeLike = jnp.float32,
) -> AdversarialLosses:
    """Computes the losses of generator and discriminators.

    Args:
        config: number and sizes of the discriminators.
        params: parameters of the discriminators.
        inverted: audio from the generator.
        recorded: the recording it should equal.
        dtype: type of the products.
    """
    discriminators = define(Discriminators, config, dtype=dtype)
    judge = discriminators.merge(params)
    fixed = discriminators.merge(jax.lax.stop_gradient(params))
    on_recorded = judge(recorded)
    on_inverted = judge(jax.lax.stop_gradient(inverted))
    for_generator = fixed(inverted)
    names = config.names
    return AdversarialLosses(
        adversarial=_mean([-for_generator[name].scores.mean() for name in names]),
        feature_match=_mean(
            [feature_distance(for_generator[name], on_recorded[name]) for name in names]
        ),
        discriminators={
            PREFIX + name: hinge(on_recorded[name].scores, on_inverted[name].scores)
            for name in names
        },
    )


def hinge(
    recorded: Float32[Array, " B *positions"], inverted: Float32[Array, " B *positions"]
) -> Float32[Array, ""]:
    """Hinge loss of a discriminator's scores: mean max(0, 1 - recorded) + max(0, 1 + inverted)."""
    return nnx.relu(1 - recorded).mean() + nnx.relu(1 + inverted).mean()


def feature_distance(inverted: Judgment, recorded: Judgment) -> Float32[Array, ""]:
    """Mean over layers of the mean absolute difference, relative to the recording's activations."""
    distances = []
    for ours, theirs in zip(inverted.features, recorded.features, strict=True):
        ours = ours.astype(jnp.float32)
        theirs = jax.lax.stop_gradient(theirs).astype(jnp.float32)
        distances.append(jnp.abs(ours - theirs).mean() / (jnp.abs(theirs).mean() + 1e-6))
    return _mean(distances)


def collapsed(values: dict[str, float]) -> list[str]:
    """Returns the names of the discriminator losses that are near zero."""
    return [
        name
        for name, value in values.items()
        if name.startswith(PREFIX) and value < COLLAPSED_BELOW
    ]


def _mean(values: list[Float32[Array, ""]]) -> Float32[Array, ""]:
    return jnp.stack(values).mean()
