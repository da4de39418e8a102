"""Position tables: a row that is added to every entry of a sequence."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Float32

from spectrodiff.models.config import PositionTable


class FixedTable(nnx.Variable):
    """Array that is stored with the weights but not trained."""


class Positioned(nnx.Module):
    """Base of networks with a position table.

    A table that is trained is stored under another name than one that is not: optimizers tell them
    apart by their names.
    """

    def add_positions(self, kind: PositionTable, length: int, width: int, rngs: nnx.Rngs) -> None:
        """Adds a table of `length` rows.

        Args:
            kind: "random_phase" for sinusoids of random phase in random column order, "sinusoid"
                for plain ones; "random_phase_trained" trains the former, "random_trained" starts
                from normal values with the variance 1 / width.
            length: number of rows.
            width: length of the rows.
            rngs: random streams; `params` is used.
        """
        if kind == "random_phase":
            self.positions = FixedTable(random_phase_positions(length, width, rngs))
        elif kind == "sinusoid":
            self.positions = FixedTable(sinusoid_positions(length, width))
        elif kind == "random_phase_trained":
            self.trained_positions = nnx.Param(random_phase_positions(length, width, rngs))
        else:
            normal = jax.random.normal(rngs.params(), (length, width)) / math.sqrt(width)
            self.trained_positions = nnx.Param(normal)

    @property
    def position_rows(self) -> Float[Array, "length D"]:
        """Rows of the table."""
        table = self.positions if hasattr(self, "positions") else self.trained_positions
        return table[...]


def random_phase_positions(
    length: int, width: int, rngs: nnx.Rngs
) -> Float32[Array, "length width"]:
    """Returns position rows: sinusoids of random phase in random column order.

    Timescales run from 1 to 10,000; each has one random phase in the sine half and one in the
    cosine half. The tables of different encoders can thus be told apart.
    """
    phases = jax.random.uniform(rngs.params(), (2, width // 2), maxval=2 * math.pi)
    table = sinusoid_positions(length, width, phases)
    return jax.random.permutation(rngs.params(), table, axis=1)


def sinusoid_positions(
    length: int, width: int, phases: Float[Array, "2 half"] | None = None
) -> Float32[Array, "length width"]:
    """Returns position rows: sines, then cosines, timescales geometric from 1 to 10,000."""
    half = width // 2
    rates = jnp.exp(-jnp.arange(half) * (math.log(10_000.0) / max(half - 1, 1)))
    angles = jnp.arange(length)[:, None] * rates[None]
    sines, cosines = (0.0, 0.0) if phases is None else (phases[0][None], phases[1][None])
    return jnp.concatenate([jnp.sin(angles + sines), jnp.cos(angles + cosines)], axis=1)
