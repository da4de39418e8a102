"""First states of runs: from a model whose vocabulary may differ, or from a checkpoint."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import expected_shapes, nest
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training import optimizers
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.run_folder import open_run
from spectrodiff.training.settings import Data, Optimization, Training
from spectrodiff.training.start import check_restored, initial_params
from spectrodiff.training.state import Placement, abstract_state, place_state
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks.autoregress import Autoregression
from spectrodiff.training.tasks.denoise import Diffusion
from spectrodiff.training.tasks.invert import Inversion
from tests.support import tiny

# Order of the ids: 3 special tokens, 1001 shifts, 128 pitches, V + 1 velocities, the tie, 128
# programs, 128 drums.
FIRST_PITCH = 3 + 1001
FIRST_VELOCITY = FIRST_PITCH + 128


def random_params(config):
    """Random parameters."""
    rng = np.random.default_rng(0)
    shapes = expected_shapes(config)
    return nest({name: rng.random(shape, np.float32) for name, shape in shapes.items()})


def song(bins, velocity):
    """Ids of a tie, a shift, a program, a velocity, a pitch, a drum, velocity 0, specials."""
    tie = FIRST_VELOCITY + bins + 1
    program, drum = tie + 1, tie + 1 + 128
    ids = [tie, 3 + 7, program + 40, FIRST_VELOCITY + velocity, FIRST_PITCH + 60]
    return [*ids, drum + 38, FIRST_VELOCITY, FIRST_PITCH + 60, 0, 1, 2]


@pytest.mark.parametrize(
    ("theirs", "ours", "velocities"),
    [
        # Velocities in the new vocabulary, and the old velocities they start as.
        (1, 32, {1: 1, 17: 1, 32: 1}),  # both have 1536 rows
        (1, 127, {1: 1, 127: 1}),  # 1664 rows
        (127, 1, {1: 127}),
        (32, 127, {1: 1, 3: 1, 4: 2, 127: 32}),
    ],
)
def test_embeddings_are_carried_over_event_by_event(tmp_path, theirs, ours, velocities):
    before, after = (Tokenization(velocity_bins=bins) for bins in (theirs, ours))
    config = tiny.NETWORK.config(before)
    given = random_params(config)
    save_model(Checkpoint(config, given, tokenization=before), tmp_path / "model", "float32")
    task = tiny.make_task(tiny.NETWORK, Diffusion(), Training(), tokenization=after)
    params = initial_params(task, 1, str(tmp_path / "model"))
    found = params["note_encoder"].pop("embedding")
    wanted = given["note_encoder"].pop("embedding")
    assert found.shape == (after.vocabulary.embedding_rows, 32)
    for velocity, known in velocities.items():
        np.testing.assert_array_equal(found[song(ours, velocity)], wanted[song(theirs, known)])
    # All other parameters are the model's, not the random ones of seed 1.
    tiny.assert_trees(params, given)


def test_an_embedding_without_rows_for_its_own_events_is_refused(tmp_path):
    config = dataclasses.replace(tiny.NETWORK.config(), vocabulary_size=1536)
    checkpoint = Checkpoint(
        config, random_params(config), tokenization=Tokenization(velocity_bins=127)
    )
    save_model(checkpoint, tmp_path / "model", "float32")
    task = tiny.make_task(tiny.NETWORK, Diffusion(), Training())
    with pytest.raises(CheckpointError, match="vocabulary_size of 1664 for 127 velocity bins"):
        initial_params(task, 0, str(tmp_path / "model"))


def settings(schedule, steps):
    optimization = Optimization(schedule=schedule, warmup_steps=1)
    data = Data(corpora=("pairs/own",))
    return RunSettings(tiny.NETWORK, Diffusion(), optimization, Training(steps=steps), data)


@pytest.mark.parametrize("steps", [1, 200])
def test_a_cosine_schedule_keeps_its_end(tmp_path, steps):
    folder = tmp_path / "run"
    # Settings may change before the first checkpoint.
    open_run(folder, settings("cosine", steps), write=True)
    checkpoints = open_run(folder, settings("cosine", 100), write=True)
    (checkpoints / "50").mkdir(parents=True)
    open_run(folder, settings("cosine", 100), write=False)
    with pytest.raises(ConfigError, match=r"Training.steps: expected 100, .*--init_from .*run"):
        open_run(folder, settings("cosine", steps), write=False)


@pytest.mark.parametrize("schedule", ["constant", "rsqrt"])
def test_other_schedules_do_not_depend_on_the_end(tmp_path, schedule):
    folder = tmp_path / "run"
    checkpoints = open_run(folder, settings(schedule, 100), write=True)
    (checkpoints / "50").mkdir(parents=True)
    open_run(folder, settings(schedule, 200), write=False)
    rates = [
        optimizers.learning_rate(settings(schedule, steps).optimization, steps)(60)
        for steps in (100, 200)
    ]
    assert rates[0] == rates[1]


def test_a_state_with_other_arrays_is_refused(tmp_path, monkeypatch):
    """In an earlier version, Muon optimized the taps of depthwise convolutions."""
    from optax.contrib import MuonDimensionNumbers

    task = tiny.make_task(task=Inversion(generator="tiny"))
    settings = Optimization(optimizer="muon")
    layout = Placement(make_mesh(jax.devices()[:1]))

    def with_taps(params):
        return jax.tree.map(lambda a: MuonDimensionNumbers(1, 2) if a.ndim == 3 else None, params)

    params = jax.tree.map(np.asarray, task.init_params(0))
    with monkeypatch.context() as patched, Checkpoints(tmp_path / "a", keep=1) as checkpoints:
        patched.setattr(optimizers, "_muon_axes", with_taps)
        optimizer = optimizers.make_optimizer(settings, lambda step: 0.1)
        checkpoints.save(1, place_state(params, optimizer, layout), {"batches": 1})
    optimizer = optimizers.make_optimizer(settings, lambda step: 0.1)
    wanted = abstract_state(task, optimizer, layout)
    with Checkpoints(tmp_path / "a", keep=1) as checkpoints:
        found = checkpoints.restore(wanted).state
    with pytest.raises(CheckpointError, match=r"differ in .*taps.*--init_from"):
        check_restored(tmp_path, found, wanted)
    check_restored(tmp_path, place_state(params, optimizer, layout), wanted)


@pytest.mark.parametrize("task", ["denoise", "autoregress", "invert"])
def test_runs_from_before_the_task_was_a_setting_are_resumed(tmp_path, task):
    """Then an inverter's run.json had its sizes, and Network.kind told the others apart."""
    network = dataclasses.replace(tiny.NETWORK, context_frames=0)
    ours = {"denoise": Diffusion(), "autoregress": Autoregression(), "invert": Inversion("tiny")}
    data = Data(corpora=("pairs/own",))
    now = RunSettings(network, ours[task], Optimization(), Training(task=task), data)
    checkpoints = open_run(tmp_path / "run", now, write=True)
    (checkpoints / "50").mkdir(parents=True)
    path = tmp_path / "run/run.json"
    stored = json.loads(path.read_text())
    del stored["settings"]["Training"]["task"]
    if task != "invert":
        kind = "autoregressive" if task == "autoregress" else "diffusion"
        stored["settings"]["Network"]["kind"] = kind
    path.write_text(json.dumps(stored))
    open_run(tmp_path / "run", now, write=False)
    other = now._replace(training=Training(task="denoise" if task == "invert" else "invert"))
    with pytest.raises(ConfigError, match=rf"Training.task: expected '{task}', as in the run"):
        open_run(tmp_path / "run", other, write=False)
