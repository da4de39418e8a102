"""Classifier-free guidance (Ho & Salimans 2021), with one weight or one each for two conditions."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Branches(NamedTuple):
    """Conditions that the network is evaluated under in a step, besides notes with context."""

    notes: bool  # notes without context
    neither: bool  # neither notes nor context

    @property
    def evaluations(self) -> int:
        """Number of network evaluations per step and segment."""
        return 1 + self.notes + self.neither


# A step without guidance.
UNGUIDED = Branches(notes=False, neither=False)


class Weights(NamedTuple):
    """Guidance weights, which broadcast against the features."""

    notes: float | Float[Array, "*#shape"]
    context: float | Float[Array, "*#shape"]  # not used without the branch of notes alone


def guided(
    outputs: Float[Array, "rows F M"], branches: Branches, weights: Weights
) -> Float[Array, "B F M"]:
    """Returns the guided prediction of a step, from the predictions of its branches.

    Args:
        outputs: predictions from notes and context, then those of the branches there are: notes
            without context, neither of them.
        branches: branches of the step.
        weights: guidance weights.
    """
    both, *others = jnp.split(outputs, branches.evaluations)
    if branches.notes:
        return guide_apart(both, others[0], others[1] if branches.neither else None, weights)
    return guide(both, others[0], weights.notes) if branches.neither else both


def guide(
    conditional: Float[Array, "*shape"],
    unconditional: Float[Array, "*shape"],
    weight: float | Float[Array, "*#shape"],
) -> Float[Array, "*shape"]:
    """Returns w * conditional + (1 - w) * unconditional.

    A weight of 1 gives the conditional prediction; larger weights amplify the effect of the
    condition. Guidance of the network's output is equivalent to guidance of eps or x0, since
    these are affine in it.

    Args:
        conditional: prediction from notes and context.
        unconditional: prediction from neither.
        weight: guidance weight w.
    """
    return weight * conditional + (1.0 - weight) * unconditional


def guide_apart(
    both: Float[Array, "*shape"],
    notes: Float[Array, "*shape"],
    neither: Float[Array, "*shape"] | None,
    weights: Weights,
) -> Float[Array, "*shape"]:
    """Returns u + w_notes (n - u) + w_context (nc - n), the weighted effects of notes and context.

    Two conditions are guided apart like this by Brooks et al. 2023 (section 3.2). Equal weights
    give the result of `guide`.

    Args:
        both: prediction nc from notes and context.
        notes: prediction n from notes without context.
        neither: prediction u from neither; None if the weight of the notes is 1, which cancels it.
        weights: the two weights.
    """
    guided = weights.context * both + (weights.notes - weights.context) * notes
    return guided if neither is None else guided + (1.0 - weights.notes) * neither
