"""Leaps: steps of a student, each of which stands for several steps of a teacher.

A step of DDIM from time t to time s is z_s = a z_t + b x0. Wherever the teacher arrives at s from
z_t, there is one x0 with which a DDIM step arrives there as well: (z_s - a z_t) / b. A student that
predicts this x0 takes the teacher's steps in one (Salimans & Ho 2022, section 3).

The student itself can take the last part of a leap. If the teacher takes only the first of many
small steps, this is the training of multistep consistency models (Heek et al. 2024).
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from spectrodiff.core.config import require
from spectrodiff.diffusion.sampler import Sampler, SamplerName, Steps, run, start, step_table
from spectrodiff.diffusion.schedule import Schedule

_SINGLE = Sampler("ddim", 1)


class Leap(NamedTuple):
    """Coefficients of all leaps [n], or of one per example [B, 1, 1]."""

    whole: Steps  # the DDIM step from the beginning to the end
    teacher: Steps  # the teacher's steps, with a leading axis [teacher's steps]
    rest: Steps  # the DDIM step from where the teacher arrives to the end

    def target(
        self, z: Float[Array, "B F M"], arrival: Float[Array, "B F M"]
    ) -> Float[Array, "B F M"]:
        """Returns the x0 whose DDIM step leads from the beginning `z` to the end `arrival`."""
        return (arrival - self.whole.z * z) / self.whole.x0

    def follow_teacher(
        self, denoise: Callable[[jax.Array, Any], jax.Array], z: Float[Array, "B F M"]
    ) -> Float[Array, "B F M"]:
        """Returns where the teacher's steps lead to; `denoise` is that of `sampler.run`."""
        return run(denoise, start(z), self.teacher).z

    def finish(self, x0: Float[Array, "B F M"], z: Float[Array, "B F M"]) -> Float[Array, "B F M"]:
        """Returns the end of the leap, from where the teacher arrived and the student's x0."""
        return self.rest.z * z + self.rest.x0 * x0


@dataclasses.dataclass(frozen=True)
class Leaps:
    """The steps of a student, divided evenly in time.

    Attributes:
        student: the student's sampler, "ddim".
        solver: sampler of the teacher, without noise.
        substeps: number of parts that a step of the student is divided into.
        taught: number of parts from the beginning of a leap that the teacher takes; a divisor of
            `substeps`. All of them: leaps begin where steps of the student do. Fewer: leaps begin
            at every multiple of it, and the student takes the rest itself.

    Raises:
        ConfigError: if a sampler adds noise, or the numbers do not go together.
    """

    student: Sampler
    solver: SamplerName
    substeps: int
    taught: int

    def __post_init__(self) -> None:
        require(self.student.name == "ddim", "Sampling.sampler", "'ddim'", self.student.name)
        deterministic = not Sampler(self.solver, 1).stochastic
        require(deterministic, "Distillation.solver", "a sampler without noise", self.solver)
        require(self.substeps >= 1, "Distillation.substeps", "a whole number >= 1", self.substeps)
        divides = 1 <= self.taught <= self.substeps and self.substeps % self.taught == 0
        require(
            divides, "Distillation.taught", f"a divisor of {self.substeps} substeps", self.taught
        )

    @property
    def per_step(self) -> int:
        """Number of leaps that begin within a step of the student."""
        return self.substeps // self.taught

    @property
    def by_teacher(self) -> bool:
        """True if the teacher takes all of every leap."""
        return self.taught == self.substeps

    def table(self, schedule: Schedule) -> Leap:
        """Computes the coefficients of all leaps, in the order of sampling."""
        leaps = []
        for begin, end in itertools.pairwise(self.student.grid(schedule)):
            parts = np.linspace(begin, end, self.substeps + 1)
            for first in range(0, self.substeps, self.taught):
                leaps.append(self._leap(schedule, parts[first:]))
        return jax.tree.map(lambda *columns: jnp.stack(columns), *leaps)

    def _leap(self, schedule: Schedule, parts: np.ndarray) -> Leap:
        """Computes one leap over some parts, from the first to the last of their times."""
        arrival, end = parts[self.taught], parts[-1]

        def single(*times: float) -> Steps:
            table = step_table(_SINGLE, schedule, np.array(times))
            return jax.tree.map(lambda column: column[0], table)

        solver = Sampler(self.solver, self.taught)
        return Leap(
            whole=single(parts[0], end),
            teacher=step_table(solver, schedule, parts[: self.taught + 1]),
            # Where the teacher has arrived at the end, nothing is left to do, and no x0 is used.
            rest=single(arrival, end) if arrival > end else _stay(single(parts[0], end)),
        )


def _stay(like: Steps) -> Steps:
    zero, one = jnp.zeros_like(like.z), jnp.ones_like(like.z)
    return like._replace(z=one, x0=zero)


def choose(table: Leap, numbers: Int[Array, " B"]) -> Leap:
    """Returns the leap of each example; coefficients broadcast against features [B, F, M]."""

    def each(column: jax.Array) -> jax.Array:
        # Steps of a solver come first, so that a loop over them has the axis it needs.
        return jnp.moveaxis(column[numbers], 0, -1)[..., None, None]

    return jax.tree.map(each, table)
