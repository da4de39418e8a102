"""Training state: the arrays carried from step to step, and their placement on devices."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from spectrodiff.core.parallel import parameter_shardings, replicated, shardings_like
from spectrodiff.training.optimizers import split_fixed
from spectrodiff.training.task import Params, Task


class TrainState(NamedTuple):
    """Arrays that a training step updates: a tree that can be donated, sharded and saved."""

    step: jax.Array  # int32 [], number of steps taken
    params: Params  # float32, whatever the precision of the products
    opt_state: Any  # for the trained parameters only
    ema: Params | None  # running average of the parameters, if there is one


@dataclasses.dataclass(frozen=True)
class Placement:
    """Placement of a state on devices.

    Args:
        mesh: the devices.
        split: True to split arrays over the devices, where they divide.
        ema: True if there is a running average of the parameters.
    """

    mesh: Mesh
    split: bool = False
    ema: bool = False


def place_state(
    params: Params, optimizer: optax.GradientTransformation, placement: Placement
) -> TrainState:
    """Places the state before the first step on the devices; `params` are host arrays."""
    placed = jax.device_put(
        params, parameter_shardings(params, placement.mesh, split=placement.split)
    )

    def make(params: Params) -> TrainState:
        return _initial(params, optimizer, placement)

    shardings = _shardings(jax.eval_shape(make, placed), placement)
    return jax.jit(make, out_shardings=shardings)(placed)


def abstract_state(
    task: Task, optimizer: optax.GradientTransformation, placement: Placement
) -> TrainState:
    """Returns shapes, types and shardings of a state, which a checkpoint is restored into."""
    shapes = jax.eval_shape(lambda: _initial(task.init_params(0), optimizer, placement))
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        _shardings(shapes, placement),
    )


def _initial(
    params: Params, optimizer: optax.GradientTransformation, placement: Placement
) -> TrainState:
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(split_fixed(params)[0]),
        # A copy: a donated state may not hold the same buffer twice.
        ema=jax.tree.map(jnp.copy, params) if placement.ema else None,
    )


def _shardings(shapes: TrainState, placement: Placement) -> TrainState:
    mesh, params = placement.mesh, shapes.params
    step: Any = replicated(mesh)
    shardings = parameter_shardings(params, mesh, split=placement.split)
    return TrainState(
        step=step,
        params=shardings,
        opt_state=shardings_like(shapes.opt_state, params, shardings, mesh),
        ema=shardings_like(shapes.ema, params, shardings, mesh),
    )
