"""The training loop when batches, evaluations, previews or saves fail or hang."""

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
    """Endless batches; one of them never arrives, and the process is asked to stop meanwhile."""

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
    """Counts its calls; one call does not end before the process is asked to stop."""

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


def first_state():
    """A state with one parameter, the number of steps taken."""
    mesh = make_mesh(jax.devices()[:1])
    zero = jax.device_put(jnp.zeros(()), replicated(mesh))
    return mesh, TrainState(zero.astype(jnp.int32), {"a": zero}, {"b": zero}, None)


def abstract(state):
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding), state
    )


def take_step(state, batch, frozen):
    del batch, frozen
    state = TrainState(state.step + 1, {"a": state.params["a"] + 1}, state.opt_state, None)
    return state, {"loss": state.params["a"]}


@pytest.fixture
def over():
    """An event for threads to wait for, set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()
    distributed._given_up.clear()


@pytest.fixture
def go(tmp_path):
    """Trains in a folder, resuming from any checkpoint; returns the rows of its metrics."""

    def go(batches, evaluation, **settings):
        given = {"steps": 4, "log_every": 1, "evaluate_every": 2, "save_every": 2, "previews": 0}
        training = Training(batch_size=8, **(given | settings))
        with Checkpoints(tmp_path / "checkpoints", keep=9) as checkpoints:
            mesh, state = first_state()
            if checkpoints.latest is not None:
                state, position = checkpoints.restore(abstract(state))
                batches.taken = position["batches"]
            run = Run(
                tmp_path,
                mesh,
                SimpleNamespace(sizes=tiny.NETWORK.config(), warnings=lambda losses: []),
                take_step,
                {},
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


def test_a_batch_that_never_arrives_is_not_waited_for(go, over, tmp_path):
    rows = go(Batches(over, ends_after=3), Evaluation())
    assert rows == WHOLE[:5]
    assert saved(tmp_path) == {"2", "3"}
    batches = Batches(over)
    assert go(batches, Evaluation()) == WHOLE
    assert batches.taken == 4  # the batch that had not arrived is not skipped


def test_nothing_is_saved_twice_or_before_the_first_step(go, over, tmp_path):
    assert go(Batches(over, ends_after=0), Evaluation()) == WHOLE[:1]
    assert saved(tmp_path) == set()
    go(Batches(over, ends_after=2), Evaluation())
    assert saved(tmp_path) == {"2"}
    assert go(Batches(over, ends_after=2), Evaluation()) == WHOLE[:4]
    assert saved(tmp_path) == {"2"}


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_canceled_evaluation_is_repeated(go, over, tmp_path, call):
    canceled = WHOLE.index(((0, 2, 4)[call - 1], "evaluation"))
    assert go(Batches(over), Evaluation(endless_at=call)) == WHOLE[:canceled]
    assert saved(tmp_path) == [set(), {"2"}, {"2", "4"}][call - 1]
    # The run starts again, or resumes with the missing evaluation.
    assert go(Batches(over), Evaluation()) == WHOLE


def test_canceled_previews_are_repeated(go, over, tmp_path, monkeypatch):
    steps = []

    def hang(folder, step, *rest):
        ask_to_stop()
        over.wait()

    def count(folder, step, *rest):
        steps.append(step)
        return []

    settings = {"previews": 1, "preview_every": 2}
    monkeypatch.setattr(loop, "write_previews", hang)
    go(Batches(over), Evaluation(), **settings)
    assert saved(tmp_path) == {"2"}
    monkeypatch.setattr(loop, "write_previews", count)
    go(Batches(over), Evaluation(), **settings)
    assert steps == [2, 4]


def test_failed_previews_are_logged_once_and_do_not_stop_a_run(
    go, over, tmp_path, monkeypatch, caplog
):
    def fail(folder, step, *rest):
        if step == 3:
            # A picture that is missing when it is read.
            return [Preview(tmp_path / "no.png", tmp_path / "no.wav", np.zeros(9, np.float32))]
        raise OutputError(folder, "a place that can be written to", "No space left on device")

    monkeypatch.setattr(loop, "write_previews", fail)
    assert go(Batches(over), Evaluation(), previews=1, preview_every=1) == WHOLE
    logged = [message for message in caplog.messages if message.startswith("previews: ")]
    assert len(logged) == 1, logged
    assert logged[0].endswith("got No space left on device; training continues without them")


def test_a_second_request_during_the_last_save_does_not_end_the_process(
    go, over, tmp_path, monkeypatch
):
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
