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
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training import optimizers
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.run_folder import open_run
from spectrodiff.training.settings import Data, Network, Optimization, Training
from spectrodiff.training.start import check_restored, initial_params, with_settings_of
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


@pytest.mark.parametrize(
    ("programs", "rows"),
    [
        # Electric piano (4) as the piano, violin (40) as the strings; flute and piano stay.
        ((0, 4, 40, 73), {4: 0, 40: 48, 73: 73, 0: 0, 48: 48}),
        (None, {4: 0, 40: 48, 73: 73, 0: 0, 48: 48}),
        ((0, 48), {4: 4, 40: 40, 0: 0, 48: 48}),
    ],
)
def test_a_new_program_starts_as_the_one_that_replaces_it(tmp_path, programs, rows):
    before = Tokenization(programs=(0, 48, 73))
    config = tiny.NETWORK.config(before)
    given = random_params(config)
    save_model(Checkpoint(config, given, tokenization=before), tmp_path / "model", "float32")
    after = Tokenization(programs=programs)
    task = tiny.make_task(tiny.NETWORK, Diffusion(), Training(), tokenization=after)
    found = initial_params(task, 1, str(tmp_path / "model"))["note_encoder"]["embedding"]
    wanted = given["note_encoder"]["embedding"]
    first = FIRST_VELOCITY + 2 + 1  # after two velocities and the tie
    for program, like in rows.items():
        np.testing.assert_array_equal(found[first + program], wanted[first + like])
    np.testing.assert_array_equal(found[:first], wanted[:first])


def a_student(folder):
    """A model of two steps whose settings are unlike the defaults."""
    tokenization = Tokenization(programs=(0, 73), drums=(), trim_overlaps=True)
    config = dataclasses.replace(tiny.NETWORK.config(tokenization), context_frames=8, dropout=0.3)
    sampling = Sampling(sampler="ddim", steps=2, guidance=1.0)
    model = Checkpoint(config, random_params(config), "v", "linear", tokenization, sampling)
    save_model(model, folder, "float32")
    return str(folder), model


def test_settings_that_are_not_given_are_the_models(tmp_path):
    name, model = a_student(tmp_path / "model")
    run = settings("constant", 3)._replace(network=Network(initialization="t5"))
    found = with_settings_of(tmp_path / "run", name, run, {})
    assert found.network.config(found.tokenization) == model.config
    assert (found.task.prediction, found.task.schedule) == ("v", "linear")
    assert found.task.loss_target == "v"
    assert (found.tokenization, found.sampling) == (model.tokenization, model.sampling)
    assert found[2:5] == run[2:5]
    # Given ones win.
    sampling = Sampling(steps=7)
    given = {
        Network: {"dropout"},
        Diffusion: {"loss_target", "schedule"},
        Tokenization: {"programs"},
        Sampling: {"steps"},
    }
    tokenization = Tokenization(programs=(0, 4, 73))
    own = run._replace(network=Network(dropout=0.0), tokenization=tokenization, sampling=sampling)
    found = with_settings_of(tmp_path / "run", name, own, given)
    assert found.network.config() == dataclasses.replace(model.config, dropout=0.0)
    assert found.task == Diffusion(prediction="v", schedule="cosine", loss_target="eps")
    assert found.tokenization == dataclasses.replace(model.tokenization, programs=(0, 4, 73))
    assert found.sampling == Sampling(sampler="ddim", steps=7, guidance=1.0)


def test_times_of_a_model_do_not_outlive_its_steps(tmp_path):
    network, sampling = tiny.NETWORK.config(), Sampling("ddim", 2, times=(1.0, 0.5), start=0.9)
    model = Checkpoint(network, random_params(network), sampling=sampling)
    save_model(model, tmp_path / "model", "float32")
    for own, given, wanted in (
        (Sampling(steps=7), {"steps"}, Sampling("ddim", 7, start=0.9)),
        (Sampling(times=None), {"times"}, Sampling("ddim", 2, start=0.9)),
        (Sampling(guidance=1.0), {"guidance"}, dataclasses.replace(sampling, guidance=1.0)),
    ):
        run = settings("constant", 3)._replace(network=Network(), sampling=own)
        name = str(tmp_path / "model")
        assert with_settings_of(tmp_path / "run", name, run, {Sampling: given}).sampling == wanted


def test_settings_of_a_network_are_not_replaced(tmp_path):
    name, _ = a_student(tmp_path / "model")
    run = settings("constant", 3)
    for given in ({Network: {"width"}}, {Network: {"size", "dropout"}}):
        assert with_settings_of(tmp_path / "run", name, run, given) == run
    assert with_settings_of(tmp_path / "run", None, run, {Network: {"width"}}) == run
    inversion = run._replace(task=Inversion())
    assert with_settings_of(tmp_path / "run", name, inversion, {}) == inversion


@pytest.mark.parametrize("task", [Diffusion(), Autoregression()])
def test_a_run_without_a_network_needs_a_model(tmp_path, task):
    run = settings("constant", 3)._replace(task=task)
    with pytest.raises(ConfigError, match=r"--init_from: expected MODEL, .*, got none"):
        with_settings_of(tmp_path / "run", None, run, {Network: {"dropout"}})


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Diffusion(schedule="linear"), "Diffusion.prediction: expected 'v', .*model, got 'eps'"),
        (Diffusion(prediction="v"), "Diffusion.schedule: expected 'linear', .*, got 'cosine'"),
    ],
)
def test_weights_for_another_output_or_noise_are_refused(tmp_path, task, message):
    name, _ = a_student(tmp_path / "model")
    made = settings("constant", 3)._replace(task=task).make_task()
    with pytest.raises(ConfigError, match=message):
        initial_params(made, 0, name)


@pytest.mark.parametrize(
    ("field", "value", "got"), [("width", 48, 32), ("context_frames", 0, 8), ("heads", 4, 2)]
)
def test_another_network_is_refused(tmp_path, field, value, got):
    name, model = a_student(tmp_path / "model")
    assert getattr(model.config, field) == got
    network = dataclasses.replace(tiny.NETWORK, **{field: value})
    task = settings("constant", 3)._replace(network=network).make_task()
    with pytest.raises(CheckpointError) as refused:
        initial_params(task, 0, name)
    expected = f"expected a network of {field} {value}, got {got} (settings that give no sizes of "
    assert f"{expected}Network, as configs/fine_tune.gin, use the model's)" in str(refused.value)


@pytest.mark.parametrize("change", [{"dropout": 0.0}, {"dropout": 0.1}, {"context_frames": 16}])
def test_dropout_and_lengths_may_be_others(tmp_path, change):
    name, _ = a_student(tmp_path / "model")
    network = dataclasses.replace(tiny.NETWORK, **change)
    task = Diffusion(prediction="v", schedule="linear")
    run = settings("constant", 3)._replace(network=network, task=task)
    params = initial_params(run.make_task(), 0, name)
    assert params["note_encoder"]["embedding"].shape == (1536, 32)


def test_a_resumed_run_keeps_the_settings_it_began_with(tmp_path):
    """Even if the model that it started from is gone."""
    name, model = a_student(tmp_path / "model")
    folder, bare = tmp_path / "run", settings("constant", 3)._replace(network=Network())
    first = with_settings_of(folder, name, bare, {})
    (open_run(folder, first, write=True) / "1").mkdir(parents=True)
    for again in (str(tmp_path / "gone"), None):
        found = with_settings_of(folder, again, bare, {})
        assert found == first
        open_run(folder, found, write=False)
    assert found.network.config(found.tokenization) == model.config


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
