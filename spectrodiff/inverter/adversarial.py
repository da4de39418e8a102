"""The game between a generator and discriminators, as one sum of losses with one gradient.

Discriminators see sound through which no gradient flows, and the generator sees discriminators with
fixed parameters, so that the gradient of the sum is each player's gradient of its own loss. Both
move at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from spectrodiff.inverter.networks.discriminators import (
    Discriminators,
    DiscriminatorsConfig,
    Judgement,
)
from spectrodiff.models.definition import Params, define, init_params

# Hinge losses lie around 2 as long as neither side wins. One that hardly ever sees a loss is of no
# use to the generator any more.
COLLAPSED_BELOW = 0.01
PREFIX = "discriminator_"


class Game(NamedTuple):
    """Losses of one step, []."""

    adversarial: jax.Array  # the generator's
    feature_match: jax.Array  # the generator's
    discriminators: dict[str, jax.Array]  # each one's own, by "discriminator_" and its name


def init_discriminators(config: DiscriminatorsConfig, seed: int) -> Params:
    """Returns the parameters of the discriminators before training, float32."""
    # Compiles in a third of the time; the values differ between kinds of devices.
    return init_params(Discriminators, config, seed, random_bits="rbg")


def play(
    config: DiscriminatorsConfig,
    params: Params,
    inverted: jax.Array,
    recorded: jax.Array,
    dtype: DTypeLike = jnp.float32,
) -> Game:
    """Works out both sides' losses.

    Args:
        config: which discriminators.
        params: theirs.
        inverted: the generator's sound, float32 [B, samples].
        recorded: the sound it should be.
        dtype: type of the products.
    """
    discriminators = define(Discriminators, config, dtype=dtype)
    judge = discriminators.merge(params)
    fixed = discriminators.merge(jax.lax.stop_gradient(params))
    of_recorded = judge(recorded)
    of_inverted = judge(jax.lax.stop_gradient(inverted))
    to_generator = fixed(inverted)
    names = config.names
    return Game(
        adversarial=_mean([-to_generator[name].scores.mean() for name in names]),
        feature_match=_mean(
            [feature_distance(to_generator[name], of_recorded[name]) for name in names]
        ),
        discriminators={
            PREFIX + name: hinge(of_recorded[name].scores, of_inverted[name].scores)
            for name in names
        },
    )


def hinge(recorded: jax.Array, inverted: jax.Array) -> jax.Array:
    """A discriminator's loss: mean max(0, 1 - recorded) + mean max(0, 1 + inverted), of scores."""
    return nnx.relu(1 - recorded).mean() + nnx.relu(1 + inverted).mean()


def feature_distance(inverted: Judgement, recorded: Judgement) -> jax.Array:
    """Mean over layers of mean |difference|, relative to the mean size of what recordings give."""
    distances = []
    for ours, theirs in zip(inverted.features, recorded.features, strict=True):
        ours = ours.astype(jnp.float32)
        theirs = jax.lax.stop_gradient(theirs).astype(jnp.float32)
        distances.append(jnp.abs(ours - theirs).mean() / (jnp.abs(theirs).mean() + 1e-6))
    return _mean(distances)


def collapsed(values: dict[str, float]) -> list[str]:
    """Which of a run's reported losses are those of discriminators that are of no use any more."""
    return [
        name
        for name, value in values.items()
        if name.startswith(PREFIX) and value < COLLAPSED_BELOW
    ]


def _mean(values: list[jax.Array]) -> jax.Array:
    return jnp.stack(values).mean()
