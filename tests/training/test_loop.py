"""The training loop when something it needs fails, or does not come."""

import json
import os
import signal
import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.core import distributed
from spectrodiff.core.errors import OutputError
from spectrodiff.core.parallel import make_mesh, replicated
from spectrodiff.training import loop
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.loop import Run, train
from spectrodiff.training.preview import Preview
from spectrodiff.training.settings import Training
from spectrodiff.training.state import TrainState
from tests.support import tiny


class Batches:
    """Endless, but for a step whose batch never comes: then someone asks to stop."""

    def __init__(self, over, *, ends_after=None):
        self.taken, self._over, self._ends_after = 0, over, ends_after

    def __next__(self):
        if self.taken == self._ends_after:
            ask_to_stop()
            self._over.wait()
        self.taken += 1
        return {"tokens": np.zeros((8, 4), np.int32)}

    def get_state(self):
        return {"batches": self.taken}


class Evaluation:
    """Counts; at one step it goes on and on, until it is told to stop."""

    def __init__(self, *, endless_at=None):
        self.calls, self._endless_at = 0, endless_at

    def __call__(self, params, stopping):
        self.calls += 1
        if self.calls == self._endless_at:
            ask_to_stop()
            while not stopping():
                pass
            return {}
        assert not stopping()
        return {"loss": 0.5}


def ask_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


def begin():
    """Less than a network: one number, which says how many steps were taken."""
    mesh = make_mesh(jax.devices()[:1])
    zero = jax.device_put(jnp.zeros(()), replicated(mesh))
    return mesh, TrainState(zero.astype(jnp.int32), {"a": zero}, {"b": zero}, None)


def abstract(state):
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding), state
    )


def take_step(state, batch):
    state = TrainState(state.step + 1, {"a": state.params["a"] + 1}, state.opt_state, None)
    return state, {"loss": state.params["a"]}


@pytest.fixture
def over():
    """Set when the test is, for the threads that wait."""
    event = threading.Event()
    yield event
    event.set()
    distributed._given_up.clear()


@pytest.fixture
def go(tmp_path):
    """Trains in a folder, from its newest checkpoint if there is one; returns the rows so far."""

    def go(batches, evaluation, **settings):
        given = {"steps": 4, "log_every": 1, "evaluate_every": 2, "save_every": 2, "previews": 0}
        training = Training(batch_size=8, **(given | settings))
        with Checkpoints(tmp_path / "checkpoints", keep=9) as checkpoints:
            mesh, state = begin()
            if checkpoints.latest is not None:
                state, position = checkpoints.restore(abstract(state))
                batches.taken = position["batches"]
            run = Run(
                tmp_path,
                mesh,
                SimpleNamespace(sizes=tiny.NETWORK.config(), warnings=lambda losses: []),
                take_step,
                lambda step: 0.1,
                batches,
                {},
                evaluation,
                checkpoints,
                training,
            )
            state = train(run, state)
            assert state.params["a"] == state.step
        path = tmp_path / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines]
        return [(row["step"], "loss" if "loss" in row else "evaluation") for row in rows]

    return go


WHOLE = [
    (0, "evaluation"),
    (1, "loss"),
    (2, "loss"),
    (2, "evaluation"),
    (3, "loss"),
    (4, "loss"),
    (4, "evaluation"),
]


def saved(folder):
    return {path.name for path in (folder / "checkpoints").iterdir()}


def test_a_batch_that_never_comes_is_not_waited_for(go, over, tmp_path):
    rows = go(Batches(over, ends_after=3), Evaluation())
    assert rows == WHOLE[:5]
    assert saved(tmp_path) == {"2", "3"}
    batches = Batches(over)
    assert go(batches, Evaluation()) == WHOLE
    assert batches.taken == 4  # the batch that was waited for was not lost


def test_nothing_is_saved_twice_or_before_the_first_step(go, over, tmp_path):
    assert go(Batches(over, ends_after=0), Evaluation()) == WHOLE[:1]
    assert saved(tmp_path) == set()
    go(Batches(over, ends_after=2), Evaluation())
    assert saved(tmp_path) == {"2"}
    assert go(Batches(over, ends_after=2), Evaluation()) == WHOLE[:4]
    assert saved(tmp_path) == {"2"}


@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_evaluation_is_given_up_and_made_up_for(go, over, tmp_path, call):
    given_up = WHOLE.index(((0, 2, 4)[call - 1], "evaluation"))
    assert go(Batches(over), Evaluation(endless_at=call)) == WHOLE[:given_up]
    assert saved(tmp_path) == [set(), {"2"}, {"2", "4"}][call - 1]
    # At step 0 there is nothing to go on from; later, what is missing comes first.
    assert go(Batches(over), Evaluation()) == WHOLE


def test_previews_are_given_up_and_made_up_for(go, over, tmp_path, monkeypatch):
    steps = []

    def play(folder, step, *rest):
        ask_to_stop()
        over.wait()

    def played(folder, step, *rest):
        steps.append(step)
        return []

    settings = {"previews": 1, "preview_every": 2}
    monkeypatch.setattr(loop, "write_previews", play)
    go(Batches(over), Evaluation(), **settings)
    assert saved(tmp_path) == {"2"}
    monkeypatch.setattr(loop, "write_previews", played)
    go(Batches(over), Evaluation(), **settings)
    assert steps == [2, 4]


def test_previews_that_fail_are_said_once_and_do_not_stop_a_run(
    go, over, tmp_path, monkeypatch, caplog
):
    def fail(folder, step, *rest):
        if step == 3:
            # A picture that is gone before it can be shown.
            return [Preview(tmp_path / "no.png", tmp_path / "no.wav", np.zeros(9, np.float32))]
        raise OutputError(folder, "a place that can be written to", "No space left on device")

    monkeypatch.setattr(loop, "write_previews", fail)
    assert go(Batches(over), Evaluation(), previews=1, preview_every=1) == WHOLE
    said = [message for message in caplog.messages if message.startswith("previews: ")]
    assert len(said) == 1, said
    assert said[0].endswith("got No space left on device; training goes on without them")


def test_asked_again_while_the_last_checkpoint_is_written(go, over, tmp_path, monkeypatch):
    wait, killed = Checkpoints.wait, []

    def asked_again(self):
        monkeypatch.setattr(Checkpoints, "wait", wait)
        ask_to_stop()
        self.wait()

    monkeypatch.setattr(Checkpoints, "wait", asked_again)
    handler = signal.signal(signal.SIGTERM, lambda number, frame: killed.append(number))
    try:
        go(Batches(over, ends_after=3), Evaluation())
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert not killed
    assert saved(tmp_path) == {"2", "3"}
