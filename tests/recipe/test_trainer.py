"""Training for a given time, measured with a fake clock."""

import math
from concurrent.futures import Future
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.core.parallel import make_mesh
from spectrodiff.recipe import trainer
from spectrodiff.recipe.trainer import Program, StagePlan, Trainer, train_until
from spectrodiff.training.settings import Optimization


class Sizes(NamedTuple):
    target_frames: int = 4
    context_frames: int = 0


def distance(params, examples, key, data):
    """Squared difference of a guess from the number in the tokens."""
    del key, data
    difference = params["guess"]["kernel"] - examples.tokens.astype(jnp.float32)
    return {"loss": jnp.square(difference).mean()}


def draw(data, key):
    del key
    return {
        "tokens": jnp.full((2, 1), data),
        "audio": jnp.zeros((2, (4 + 16) * 320), jnp.int16),
        "context_frames": jnp.zeros(2, jnp.int32),
    }


@pytest.fixture(scope="module")
def compiled():
    optimization = Optimization(optimizer="adamw", warmup_steps=4, ema_decay=0.9)
    ours = Trainer(Sizes(), distance, optimization, make_mesh(jax.devices()[:1]), 2, 0)
    state = ours.initial({"guess": {"kernel": np.zeros((1, 1), np.float32)}})
    return ours, ours.compile(draw, state, jax.ShapeDtypeStruct((), jnp.int32))


def ready(call):
    """A future of steps that are compiled."""
    future = Future()
    future.set_result(call)
    return future


def fresh(ours):
    return ours.initial({"guess": {"kernel": np.zeros((1, 1), np.float32)}})


def test_a_call_takes_steps_of_adam_with_warm_up(compiled):
    ours, call = compiled
    state, losses = call(fresh(ours), jnp.int32(3), jnp.float32(0.1))
    assert int(state.step) == 2
    # Adam's first steps have the length of the rate, times 1/4 and 2/4 in the warm-up; the second
    # gradient is nearly as large as the first.
    np.testing.assert_allclose(state.params["guess"]["kernel"], [[0.025 + 0.05]], rtol=1e-3)
    assert float(losses["loss"]) == pytest.approx((9 + 2.975**2) / 2, rel=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_learning_rates_depend_on_the_time(monkeypatch, compiled, schedule):
    ours, _ = compiled
    now = [100.0]
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    rates, reports = [], []

    def call(state, data, rate):
        rates.append(float(rate))
        now[0] += 2.0
        return state._replace(step=state.step + 2), {"loss": jnp.float32(1)}

    program = Program(ready(call), lambda: None, lambda: 1.0)
    plan = StagePlan("a", 20.0, 0.5, schedule)
    train_until(fresh(ours), [program], plan, lambda _: None, reports.append)
    expected = [0.25 * (1 + math.cos(math.pi * at / 20)) for at in range(0, 20, 2)]
    np.testing.assert_allclose(rates, expected if schedule == "cosine" else [0.5] * 10, rtol=1e-6)
    assert reports[-1].steps == 20
    assert reports[-1].elapsed_seconds == 20
    assert "a: 20 of 20 s, 20 steps (1.0 per second)" in str(reports[-1])


def test_programs_take_turns_by_weight(monkeypatch, compiled):
    ours, _ = compiled
    now = [0.0]
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    turns = []

    def program(name, weight):
        def call(state, data, rate):
            turns.append(data)
            now[0] += 1.0
            return state, {}

        return Program(ready(call), lambda: name, lambda: weight)

    programs = [program("short", 3.0), program("long", 1.0)]
    plan = StagePlan("a", 40.0, 1.0, "constant")
    train_until(fresh(ours), programs, plan, lambda _: None, lambda _: None)
    assert turns.count("long") == 10
    assert all("long" in turns[first : first + 4] for first in range(0, 40, 4))


def test_training_starts_with_the_programs_that_are_compiled(monkeypatch, compiled):
    ours, _ = compiled
    now = [0.0]
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    late, turns = Future(), []

    def call(state, data, rate):
        turns.append(data)
        now[0] += 1.0
        if len(turns) == 4:
            late.set_result(call)
        return state, {}

    programs = [
        Program(ready(call), lambda: "early", lambda: 1.0),
        Program(late, lambda: "late", lambda: 1.0),
    ]
    plan = StagePlan("a", 10.0, 1.0, "constant")
    train_until(fresh(ours), programs, plan, lambda _: None, lambda _: None)
    assert turns[:4] == ["early"] * 4
    assert turns[4:].count("late") == 3


def test_no_time_means_no_steps(compiled):
    ours, call = compiled
    reports = []
    program = Program(ready(call), lambda: jnp.int32(3), lambda: 1.0)
    plan = StagePlan("late", -3.0, 1.0, "cosine")
    state = train_until(fresh(ours), [program], plan, lambda _: None, reports.append)
    assert int(state.step) == 0
    assert reports[0].steps == 0


def test_training_waits_for_examples(monkeypatch, compiled):
    """A program is called as soon as it has examples."""
    ours, call = compiled
    examples = []
    monkeypatch.setattr(trainer, "WAIT_SECONDS", 0.001)
    seconds = iter(range(1000))
    monkeypatch.setattr(trainer.time, "monotonic", lambda: float(next(seconds)))
    program = Program(ready(call), lambda: jnp.int32(3), lambda: float(len(examples)))
    state = train_until(
        fresh(ours),
        [program],
        StagePlan("a", 30.0, 0.1, "constant"),
        lambda _: examples.append("rendered"),
        lambda _: None,
    )
    assert int(state.step) > 0
