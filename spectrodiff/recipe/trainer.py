"""Training against the clock, with all the work of many steps in one call to the device."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from spectrodiff.recipe.settings import StageSchedule
from spectrodiff.training.examples import Batch, Examples, ExampleSizes, read_examples
from spectrodiff.training.optimizers import join_fixed, make_optimizer, split_fixed
from spectrodiff.training.settings import Optimization
from spectrodiff.training.state import TrainState
from spectrodiff.training.step import average, step_key
from spectrodiff.training.task import Params

logger = logging.getLogger(__name__)

Draw = Callable[[Any, jax.Array], Batch]  # from the data on the device and a key
Losses = dict[str, jax.Array]
Call = Callable[[TrainState, Any, jax.Array], tuple[TrainState, Losses]]
# From parameters, a batch, a key and the data to the losses; "loss" is what is followed.
Loss = Callable[[Params, Examples, jax.Array, Any], Losses]

REPORT_SECONDS = 10.0
# Between two looks for examples, where those of all programs there are have not been rendered yet.
WAIT_SECONDS = 1.0
# A GPU's compiler would try many ways to compute every matrix product, which takes minutes for
# programs of this size; a run of minutes has no use for the few per cent that it gains.
QUICK_TO_COMPILE: dict[str, str | bool] = {
    "xla_gpu_autotune_level": "0",
    "xla_gpu_enable_triton_gemm": False,
}


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Steps of one task, many to a call.

    Args:
        sizes: of the segments.
        loss: what to train for.
        optimization: how; the learning rate's schedule is given call by call.
        mesh: the device, as a mesh of one.
        steps: to a call.
        seed: of all that is random in the steps.
    """

    sizes: ExampleSizes
    loss: Loss
    optimization: Optimization
    mesh: Mesh
    steps: int
    seed: int

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The optimiser with a learning rate of 1, which the steps scale."""
        return make_optimizer(self.optimization, lambda _: jnp.float32(1.0))

    def initial(self, params: Params) -> TrainState:
        """The state before the first step."""
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=jax.tree.map(jnp.array, params),
            opt_state=jax.jit(self.optimizer.init)(split_fixed(params)[0]),
            ema=jax.tree.map(jnp.array, params),
        )

    def compile(self, draw: Draw, state: Any, data: Any) -> Call:
        """Compiles a call for one kind of batch; takes only shapes, so that any thread can do it.

        Args:
            draw: cuts a batch out of the data.
            state: a state, or its shapes.
            data: what `draw` takes, or its shapes.

        Returns:
            From state, data and learning rate to the state after the steps, whose memory is reused,
            and the mean losses.
        """
        optimizer = self.optimizer

        def call(state: TrainState, data: Any, rate: jax.Array) -> tuple[TrainState, Losses]:
            def step(state: TrainState, _: None) -> tuple[TrainState, Losses]:
                return self._step(optimizer, draw, state, data, rate)

            state, losses = jax.lax.scan(step, state, None, self.steps)
            return state, jax.tree.map(lambda loss: loss.mean(), losses)

        return compile_quickly(jax.jit(call, donate_argnums=0), state, data, jnp.float32(0))

    def _step(
        self,
        optimizer: optax.GradientTransformation,
        draw: Draw,
        state: TrainState,
        data: Any,
        rate: jax.Array,
    ) -> tuple[TrainState, Losses]:
        draw_key, loss_key = jax.random.split(step_key(self.seed, state.step, "rbg"))
        examples = read_examples(draw(data, draw_key), self.sizes, self.mesh)
        trained, fixed = split_fixed(state.params)

        def loss(trained: Params) -> tuple[jax.Array, Losses]:
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


def compile_quickly(function: Any, *arguments: Any) -> Any:
    """Compiles a jitted function for arguments like these, of which only shapes are used."""
    begin = time.monotonic()
    lowered = function.lower(*jax.tree.map(_shape, arguments))
    traced = time.monotonic()
    on_gpu = jax.default_backend() == "gpu"
    compiled = lowered.compile(compiler_options=QUICK_TO_COMPILE if on_gpu else None)
    seconds = traced - begin, time.monotonic() - traced
    logger.info("a program was traced in %.0f s and compiled in %.0f s", *seconds)
    return compiled


class Kind(NamedTuple):
    """One of the kinds of batches that take turns.

    Attributes:
        call: the compiled steps, as soon as they are compiled.
        data: what they take, asked for before every call.
        weight: how often this kind is due, relative to the others.
    """

    call: Future[Call]
    data: Callable[[], Any]
    weight: Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Report:
    """One line of the log: how far a stage is.

    Attributes:
        stage: its name.
        elapsed_seconds: since it began.
        seconds: that it has.
        steps: taken so far.
        rate: learning rate, before warm-up.
        losses: means over the steps of the last call.
    """

    stage: str
    elapsed_seconds: float
    seconds: float
    steps: int
    rate: float
    losses: dict[str, float]

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in self.losses.items())
        speed = self.steps / max(self.elapsed_seconds, 1e-9)
        return (
            f"{self.stage}: {self.elapsed_seconds:.0f} of {self.seconds:.0f} s, {self.steps} steps "
            f"({speed:.1f} a second), rate {self.rate:.2g}: {numbers}"
        )


def train_until(
    state: TrainState,
    kinds: Sequence[Kind],
    stage: str,
    peak_rate: float,
    schedule: StageSchedule,
    seconds: float,
    between: Callable[[TrainState], None],
    report: Callable[[Report], None],
) -> TrainState:
    """Takes steps until the time is over; the learning rate follows the clock.

    So a schedule ends in time however fast the device is, and whatever else it has to do. It begins
    as soon as one kind of batch is compiled; the others take their turns once they are.

    Args:
        state: before the first step; its memory is taken over.
        kinds: batches, which take turns by weight.
        stage: its name, for the log.
        peak_rate: learning rate at its beginning.
        schedule: "cosine" falls to zero at the end.
        seconds: how long.
        between: called between two calls with the state.
        report: called with a line of the log now and then.
    """
    begin = reported = time.monotonic()
    owed = [0.0 for _ in kinds]
    steps_before, rate = int(state.step), 0.0
    losses: Losses = {}

    def say() -> None:
        elapsed, steps = time.monotonic() - begin, int(state.step) - steps_before
        numbers = {name: float(value) for name, value in losses.items()}
        report(Report(stage, elapsed, seconds, steps, rate, numbers))

    while (elapsed := time.monotonic() - begin) < seconds:
        rate = peak_rate
        if schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * elapsed / seconds))
        weights = [kind.weight() if kind.call.done() else 0.0 for kind in kinds]
        if not any(weights):
            compiling = [kind.call for kind in kinds if not kind.call.done()]
            left = min(seconds - elapsed, WAIT_SECONDS)
            if compiling:
                wait(compiling, left, FIRST_COMPLETED)
            else:
                time.sleep(left)
            if len(compiling) < len(kinds):
                between(state)  # brings the examples that are missing
            continue
        owed = [due + weight / sum(weights) for due, weight in zip(owed, weights, strict=True)]
        turn = max(range(len(kinds)), key=owed.__getitem__)
        owed[turn] -= 1
        before = losses
        call, data = kinds[turn].call.result(), kinds[turn].data()
        state, losses = call(state, data, jnp.float32(rate))
        # One call is queued while another runs; with more, the clock's word would come late.
        jax.block_until_ready(before)
        between(state)
        if time.monotonic() - reported > REPORT_SECONDS:
            say()
            reported = time.monotonic()
    say()
    if int(state.step) == steps_before:
        logger.warning("%s: no time was left for a step; the weights are as they were", stage)
    return state


def _shape(array: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)
