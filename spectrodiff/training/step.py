"""Training step: a pure function of state and batch, compiled for each shape of the batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding

from spectrodiff.core.parallel import (
    LAYERED_BATCH,
    batch_split,
    gathered,
    replicated,
    traced_for,
)
from spectrodiff.training.examples import Batch, read_examples
from spectrodiff.training.optimizers import join_fixed, split_fixed
from spectrodiff.training.settings import Optimization, RandomBits, Training
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, Scores, Task

# The last argument are the frozen parameters of the task, replicated on the devices.
TrainStep = Callable[[TrainState, Batch, Params], tuple[TrainState, Scores]]

# Initial parameters use the keys `fold_in(key(seed), n)` for n from 0. Steps, which also count from
# 0, are folded into another key.
_STEPS = 0x73746570  # "step" in ASCII


def step_key(seed: int, step: jax.Array | int, random_bits: RandomBits) -> jax.Array:
    """Returns the key of a training step, independent of the keys of initial parameters.

    Args:
        seed: of the run.
        step: number of the step, int32 [], from 0.
        random_bits: the generator.
    """
    steps = jax.random.fold_in(jax.random.key(seed, impl=random_bits), _STEPS)
    return jax.random.fold_in(steps, step)


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    shardings: TrainState,
    training: Training,
    optimization: Optimization,
) -> TrainStep:
    """Compiles the training step; a call reuses the memory of the state it is given.

    Args:
        task: network and loss.
        optimizer: for the trained parameters.
        mesh: the devices.
        shardings: of the arrays of the state, before and after the step.
        training: seed, generator and number of micro-batches.
        optimization: decay of the running average.

    Returns:
        A function from state, batch (see `examples.read_examples`) and the arrays of `task.frozen`
        to the state after the step and its metrics: `loss`, its terms, and `grad_norm`.
    """

    def step(state: TrainState, batch: Batch, frozen: Params) -> tuple[TrainState, Scores]:
        key = step_key(training.seed, state.step, training.random_bits)
        trained, fixed = split_fixed(state.params)

        def loss(trained: Params, batch: Batch, key: jax.Array) -> tuple[jax.Array, Scores]:
            examples = read_examples(batch, task.sizes, mesh)
            params = gathered(join_fixed(trained, fixed), shardings.params)
            with traced_for(mesh):
                losses = task.loss(params | frozen, examples, key)
            return losses["loss"], losses

        losses, gradients = accumulate(loss, trained, batch, key, training.micro_batches, mesh)
        updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
        params = join_fixed(optax.apply_updates(trained, updates), fixed)
        after = TrainState(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            ema=average(state.ema, params, state.step, optimization.ema_decay),
        )
        return after, {**losses, "grad_norm": optax.tree.norm(gradients)}

    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(shardings, batch_split(mesh), replicated(mesh)),
        out_shardings=(shardings, replicated(mesh)),
    )


def accumulate(
    loss: Callable[[Params, Batch, jax.Array], tuple[jax.Array, Scores]],
    params: Params,
    batch: Batch,
    key: jax.Array,
    micro_batches: int,
    mesh: Mesh,
) -> tuple[Scores, Params]:
    """Returns the mean losses of a batch and their gradient, computed in micro-batches."""

    def losses_and_gradients(batch: Batch, key: jax.Array) -> tuple[Scores, Params]:
        (_, losses), gradients = jax.value_and_grad(loss, has_aux=True)(params, batch, key)
        return losses, gradients

    if micro_batches == 1:
        return losses_and_gradients(batch, key)

    def part(total: Any, inputs: tuple[Batch, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, losses_and_gradients(*inputs)), None

    parts = (split_batch(batch, micro_batches, mesh), jax.random.split(key, micro_batches))
    shapes = jax.eval_shape(lambda: losses_and_gradients(*jax.tree.map(lambda x: x[0], parts)))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total, _ = jax.lax.scan(part, nothing, parts)
    return jax.tree.map(lambda value: value / micro_batches, total)


def split_batch(batch: Batch, parts: int, mesh: Mesh) -> Batch:
    """Reshapes [B, ...] to [parts, B / parts, ...]; no example moves to another device."""
    sharding = NamedSharding(mesh, LAYERED_BATCH)

    def split(array: jax.Array) -> jax.Array:
        # Examples are dealt out in turn, so that each part has some of every device.
        split = array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1)
        return jax.lax.with_sharding_constraint(split, sharding)

    return jax.tree.map(split, batch)


def average(
    ema: Params | None, params: Params, step: jax.Array, decay: float | None
) -> Params | None:
    """Returns the running average after a step; its decay is smaller in the first steps."""
    if ema is None or decay is None:
        return None
    keep = jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(params, ema, 1 - keep)
