"""Training for a given time, with many steps in one call to the device."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from spectrodiff.recipe.log import Report
from spectrodiff.recipe.settings import StageSchedule
from spectrodiff.training.examples import Batch, Examples, ExampleSizes, read_examples
from spectrodiff.training.optimizers import join_fixed, make_optimizer, split_fixed
from spectrodiff.training.settings import Optimization
from spectrodiff.training.state import TrainState
from spectrodiff.training.step import average, step_key
from spectrodiff.training.task import Params, Scores

logger = logging.getLogger(__name__)

# Data are arrays on the device, as a tree.
DrawBatch = Callable[[Any, jax.Array], Batch]  # from data and a key
Steps = Callable[[TrainState, Any, jax.Array], tuple[TrainState, Scores]]
Loss = Callable[[Params, Examples, jax.Array, Any], Scores]  # from a key and data, too

REPORT_SECONDS = 10.0
# Interval of checks for new songs while no compiled program has examples.
WAIT_SECONDS = 1.0
# Autotuning of matrix products takes minutes for programs of this size, for a gain of a few per
# cent that a run of minutes cannot make up for.
QUICK_TO_COMPILE: dict[str, str | bool] = {
    "xla_gpu_autotune_level": "0",
    "xla_gpu_enable_triton_gemm": False,
}


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Training steps of one task.

    Args:
        sizes: lengths of the examples.
        loss: the loss under "loss", and its terms.
        optimization: optimizer and warm-up; each call has its own learning rate.
        mesh: of one device.
        steps: number of steps per call.
        seed: of batches and losses.
    """

    sizes: ExampleSizes
    loss: Loss
    optimization: Optimization
    mesh: Mesh
    steps: int
    seed: int

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The optimizer with a learning rate of 1; the steps scale its updates."""
        return make_optimizer(self.optimization, lambda _: jnp.float32(1.0))

    def initial(self, params: Params) -> TrainState:
        """Returns the state before the first step."""
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=jax.tree.map(jnp.array, params),
            opt_state=jax.jit(self.optimizer.init)(split_fixed(params)[0]),
            ema=jax.tree.map(jnp.array, params),
        )

    def compile(self, draw: DrawBatch, state: TrainState, data: Any) -> Steps:
        """Compiles the steps of a call for one shape of batch.

        Args:
            draw: cuts a random batch out of the data.
            state: a state, or its shapes.
            data: as `draw` takes them, or their shapes.

        Returns:
            A function from state, data and learning rate to the state after the steps and their
            mean losses; it reuses the memory of the state.
        """
        optimizer = self.optimizer

        def steps(state: TrainState, data: Any, rate: jax.Array) -> tuple[TrainState, Scores]:
            def step(state: TrainState, _: None) -> tuple[TrainState, Scores]:
                return self._step(optimizer, draw, state, data, rate)

            state, losses = jax.lax.scan(step, state, None, self.steps)
            return state, jax.tree.map(lambda loss: loss.mean(), losses)

        return compile_quickly(jax.jit(steps, donate_argnums=0), state, data, jnp.float32(0))

    def _step(
        self,
        optimizer: optax.GradientTransformation,
        draw: DrawBatch,
        state: TrainState,
        data: Any,
        rate: jax.Array,
    ) -> tuple[TrainState, Scores]:
        draw_key, loss_key = jax.random.split(step_key(self.seed, state.step, "rbg"))
        examples = read_examples(draw(data, draw_key), self.sizes, self.mesh)
        trained, fixed = split_fixed(state.params)

        def loss(trained: Params) -> tuple[jax.Array, Scores]:
            losses = self.loss(join_fixed(trained, fixed), examples, loss_key, data)
            return losses["loss"], losses

        (_, losses), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
        updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
        warm = jnp.minimum(1.0, (state.step + 1) / max(self.optimization.warmup_steps, 1))
        updates = jax.tree.map(lambda update: rate * warm * update, updates)
        params = join_fixed(optax.apply_updates(trained, updates), fixed)
        ema = average(state.ema, params, state.step, self.optimization.ema_decay)
        after = TrainState(state.step + 1, params, opt_state, ema)
        return after, {**losses, "grad_norm": optax.tree.norm(gradients)}


def compile_quickly(function: jax.stages.Wrapped, *arguments: Any) -> jax.stages.Compiled:
    """Compiles a jitted function for the shapes of arguments; any thread can do that."""
    begin = time.monotonic()
    lowered = function.lower(*jax.tree.map(_shape, arguments))
    traced = time.monotonic()
    on_gpu = jax.default_backend() == "gpu"
    compiled = lowered.compile(compiler_options=QUICK_TO_COMPILE if on_gpu else None)
    seconds = traced - begin, time.monotonic() - traced
    logger.info("program traced in %.0f s and compiled in %.0f s", *seconds)
    return compiled


class Program(NamedTuple):
    """Compiled steps for one shape of batch; programs take turns.

    Attributes:
        steps: the compiled steps, once they are compiled.
        data: returns the data for the next call.
        weight: returns the relative frequency of calls, 0 while there are no examples.
    """

    steps: Future[Steps]
    data: Callable[[], Any]
    weight: Callable[[], float]


class StagePlan(NamedTuple):
    """Duration and learning rate of a stage.

    Attributes:
        name: of the stage, for the log.
        seconds: duration.
        peak_rate: learning rate at the start.
        schedule: "constant", or "cosine", which falls to zero at the end.
    """

    name: str
    seconds: float
    peak_rate: float
    schedule: StageSchedule

    @classmethod
    def until(cls, name: str, end: float, peak_rate: float, schedule: StageSchedule) -> Self:
        """Returns the plan of a stage that starts now; it has no time if `end` is over.

        Args:
            name: of the stage.
            end: of the stage, on the monotonic clock.
            peak_rate: learning rate at the start.
            schedule: of the learning rate.
        """
        return cls(name, max(end - time.monotonic(), 0.0), peak_rate, schedule)

    def rate(self, elapsed: float) -> float:
        """Returns the learning rate after some seconds."""
        if self.schedule == "constant":
            return self.peak_rate
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * elapsed / self.seconds))


def train_until(
    state: TrainState,
    programs: Sequence[Program],
    plan: StagePlan,
    between: Callable[[TrainState], None],
    report: Callable[[Report], None],
) -> TrainState:
    """Trains until the time is over and returns the last state.

    The learning rate depends on the time, not on the number of steps, so that a schedule ends in
    time on any device. Training starts as soon as one program is compiled.

    Args:
        state: before the first step; its memory is reused.
        programs: compiled steps, called in turn according to their weights.
        plan: duration and learning rate.
        between: called with the state between calls.
        report: called with the progress every ten seconds, and at the end.
    """
    begin = reported = time.monotonic()
    owed = [0.0 for _ in programs]
    steps_before, rate = int(state.step), 0.0
    losses: Scores = {}

    def send_report() -> None:
        elapsed, steps = time.monotonic() - begin, int(state.step) - steps_before
        numbers = {name: float(value) for name, value in losses.items()}
        report(Report(plan.name, elapsed, plan.seconds, steps, rate, numbers))

    while (elapsed := time.monotonic() - begin) < plan.seconds:
        rate = plan.rate(elapsed)
        weights = [program.weight() if program.steps.done() else 0.0 for program in programs]
        if not any(weights):
            compiling = [program.steps for program in programs if not program.steps.done()]
            left = min(plan.seconds - elapsed, WAIT_SECONDS)
            if compiling:
                wait(compiling, left, FIRST_COMPLETED)
            else:
                time.sleep(left)
            if len(compiling) < len(programs):
                between(state)  # may add the missing examples
            continue
        owed = [due + weight / sum(weights) for due, weight in zip(owed, weights, strict=True)]
        turn = max(range(len(programs)), key=owed.__getitem__)
        owed[turn] -= 1
        before = losses
        steps, data = programs[turn].steps.result(), programs[turn].data()
        state, losses = steps(state, data, jnp.float32(rate))
        # One call is queued while another runs; more would run past the end of the time.
        jax.block_until_ready(before)
        between(state)
        if time.monotonic() - reported > REPORT_SECONDS:
            send_report()
            reported = time.monotonic()
    send_report()
    if int(state.step) == steps_before:
        logger.warning("%s: no time was left for a step; the weights are unchanged", plan.name)
    return state


def _shape(array: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)
