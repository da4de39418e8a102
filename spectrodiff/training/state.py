"""What training carries from step to step, and where it lies."""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from spectrodiff.core.parallel import state_shardings
from spectrodiff.training.optimizers import split_fixed

Params = dict[str, Any]


class TrainState(NamedTuple):
    """Arrays only: it can be donated, sharded and saved as it is."""

    step: jax.Array  # int32 [], steps taken
    params: Params  # float32, whatever the precision of the products
    opt_state: Any  # for the trained parameters only
    ema: Params | None  # running average of the parameters, if there is one


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a state is laid out.

    Args:
        mesh: the devices.
        split: whether arrays are split over the devices, where they divide.
        ema: whether there is a running average of the parameters.
    """

    mesh: Mesh
    split: bool = False
    ema: bool = False


class _Initialises(Protocol):
    def init_params(self, seed: int) -> Params: ...


def place_state(
    params: Params, optimizer: optax.GradientTransformation, layout: Layout
) -> TrainState:
    """The state before the first step, where it belongs; `params` are host arrays."""
    placed = jax.device_put(params, state_shardings(params, layout.mesh, split=layout.split))

    def make(params: Params) -> TrainState:
        return _initial(params, optimizer, layout)

    shapes = jax.eval_shape(make, placed)
    shardings = state_shardings(shapes, layout.mesh, split=layout.split)
    return jax.jit(make, out_shardings=shardings)(placed)


def abstract_state(
    network: _Initialises, optimizer: optax.GradientTransformation, layout: Layout
) -> TrainState:
    """Shapes, types and places of a state, without values: what a checkpoint is read into."""
    shapes = jax.eval_shape(lambda: _initial(network.init_params(0), optimizer, layout))
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(shapes, layout.mesh, split=layout.split),
    )


def _initial(params: Params, optimizer: optax.GradientTransformation, layout: Layout) -> TrainState:
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(split_fixed(params)[0]),
        # A copy: a donated state may not hold the same buffer twice.
        ema=jax.tree.map(jnp.copy, params) if layout.ema else None,
    )
