import dataclasses
import importlib.metadata
import json
import shutil

import jax
import numpy as np
import pytest

import spectrodiff
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.run_folder import import_run
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.errors import CheckpointError, ConfigError, OutputError
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.run_folder import environment, open_run
from spectrodiff.training.settings import Optimization, Training
from spectrodiff.training.start import initial_params
from spectrodiff.training.state import abstract_state
from spectrodiff.training.tasks.denoise import Diffusion
from tests.support import tiny
from tests.support.runs import ADAMW_EMA, settings


def make(network):
    return tiny.make_task(network, Diffusion(prediction="v", schedule="linear"), Training())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of seven steps on eight devices with split arrays, and its state after each."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    trainer = tiny.Trainer(
        devices=8,
        optimization=ADAMW_EMA,
        training=Training(batch_size=8, shard_parameters=True),
        network=tiny.NETWORK,
    )
    states = {}
    checkpoint_folder = open_run(folder, settings(), write=True)
    with Checkpoints(checkpoint_folder, keep=2, keep_every=3) as checkpoints:
        assert checkpoints.latest is None
        for step in range(1, 8):
            trainer.take(tiny.batch(8, seed=step))
            states[step] = trainer.host()
            # The next step overwrites the state's memory while this is still being written.
            checkpoints.save(step, trainer.state, {"batches": 10 * step})
    return folder, states


@pytest.mark.parametrize("missing", ["_CHECKPOINT_METADATA", "ema"])
def test_a_removal_that_was_interrupted_is_finished(run, tmp_path, missing):
    folder = shutil.copytree(run[0] / "checkpoints", tmp_path / "checkpoints")
    shutil.copytree(folder / "6", folder / "4")
    rest = folder / "4" / missing
    shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    trainer = tiny.Trainer(devices=1, optimization=ADAMW_EMA, training=Training(batch_size=8))
    with Checkpoints(folder, keep=2, keep_every=3) as checkpoints:
        restored = checkpoints.restore(
            abstract_state(trainer.task, trainer.optimizer, trainer.layout)
        )
        assert sorted(path.name for path in folder.iterdir()) == ["3", "6", "7"]
        checkpoints.save(8, restored.state, restored.position)
    assert sorted(path.name for path in folder.iterdir()) == ["3", "6", "7", "8"]


def test_newest_and_every_third_checkpoint_are_kept(run):
    folder, _ = run
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["3", "6", "7"]
    parts = {path.name for path in (folder / "checkpoints" / "7").iterdir() if path.is_dir()}
    assert parts == {"params", "opt_state", "ema", "data", "meta"}


@pytest.mark.parametrize(("devices", "split"), [(8, True), (2, True), (1, False)])
def test_restored_on_any_number_of_devices(run, devices, split):
    folder, states = run
    trainer = tiny.Trainer(
        devices=devices,
        optimization=ADAMW_EMA,
        training=Training(batch_size=8, shard_parameters=split),
    )
    with Checkpoints(folder / "checkpoints", keep=2, keep_every=3) as checkpoints:
        assert checkpoints.latest == 7
        restored = checkpoints.restore(
            abstract_state(trainer.task, trainer.optimizer, trainer.layout)
        )
    assert restored.position == {"batches": 70}
    tiny.assert_trees(restored.state, states[7])
    wanted = jax.tree.leaves(trainer.shardings)
    assert [leaf.sharding for leaf in jax.tree.leaves(restored.state)] == wanted


def test_a_run_is_a_model(run):
    folder, states = run
    for name, step in ((folder, 7), (folder / "checkpoints" / "3", 3)):
        checkpoint = open_checkpoint(name)
        assert checkpoint.config == tiny.NETWORK.config()
        assert (checkpoint.prediction, checkpoint.schedule) == ("v", "linear")
        assert checkpoint.layout == f"training run, step {step}"
        # The running average, as host arrays.
        tiny.assert_trees(checkpoint.params, states[step].ema)
        assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(checkpoint.params))
    tiny.assert_trees(import_run(folder, step=6).params, states[6].ema)
    with pytest.raises(CheckpointError, match=r"checkpoint of step 5, got steps \[3, 6, 7\]"):
        import_run(folder, step=5)


def test_a_run_can_start_from_another(run):
    folder, states = run
    task = make(tiny.NETWORK)
    tiny.assert_trees(initial_params(task, 1, str(folder)), states[7].ema)
    # Position tables of longer segments are random, and with the same seed start with the old ones.
    longer = make(dataclasses.replace(tiny.NETWORK, target_frames=12))
    params = flatten(initial_params(longer, 0, str(folder)))
    before = flatten(states[7].ema)
    assert params["decoder/positions"].shape == (12, 32)
    own, old = params.pop("decoder/positions"), before.pop("decoder/positions")
    np.testing.assert_array_equal(own[:8], old)
    tiny.assert_trees(params, before)
    wider = make(dataclasses.replace(tiny.NETWORK, mlp_width=64))
    with pytest.raises(CheckpointError, match="expected a network of mlp_width 64, got 48"):
        initial_params(wider, 0, str(folder))


def test_other_networks_and_damage_raise_one_type_of_error(run, tmp_path):
    folder, _ = run
    other = tiny.Trainer(
        network=dataclasses.replace(tiny.NETWORK, mlp_width=64), optimization=ADAMW_EMA
    )
    adafactor = tiny.Trainer(optimization=Optimization(ema_decay=0.9))
    with Checkpoints(folder / "checkpoints", keep=2, keep_every=3) as checkpoints:
        for trainer in (other, adafactor):
            abstract = abstract_state(trainer.task, trainer.optimizer, trainer.layout)
            with pytest.raises(
                CheckpointError, match="7: expected a checkpoint of this network"
            ) as e:
                checkpoints.restore(abstract)
            assert "incompatible handler" not in str(e.value)
    (tmp_path / "checkpoints" / "1" / "params").mkdir(parents=True)
    (tmp_path / "run.json").write_bytes((folder / "run.json").read_bytes())
    with pytest.raises(
        CheckpointError, match="expected an undamaged checkpoint, got a damaged one"
    ):
        open_checkpoint(tmp_path)
    (tmp_path / "checkpoints" / "1" / "params").rmdir()
    (tmp_path / "checkpoints" / "1").rmdir()
    with pytest.raises(CheckpointError, match="a run without any"):
        open_checkpoint(tmp_path)


def test_a_run_resumes_with_its_own_settings(run):
    folder, _ = run
    open_run(folder, settings(steps=9, save_every=2), write=False)
    with pytest.raises(ConfigError, match=r"batch_size: expected 8, as in the run .*got 16"):
        open_run(folder, settings(batch_size=16), write=False)
    wider = dataclasses.replace(tiny.NETWORK, width=64)
    with pytest.raises(ConfigError, match=r"Network.width: expected 32, as in the run .*, got 64"):
        open_run(folder, settings(wider), write=False)


def test_a_run_of_a_later_version_is_not_changed(run, tmp_path):
    folder = tmp_path / "later"
    shutil.copytree(run[0], folder)
    described = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(later := json.dumps({**described, "format": 6}))
    with pytest.raises(CheckpointError, match="format = 1 or 2 or 3 or 4 or 5, got 6"):
        open_run(folder, settings(), write=True)
    assert (folder / "run.json").read_text() == later


def test_folders_that_are_not_runs_are_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="a new or empty folder, or that of a run"):
        open_run(tmp_path, settings(), write=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a place that can be written to"):
        open_run(tmp_path / "file" / "run", settings(), write=True)


def test_a_checkout_need_not_be_installed(monkeypatch):
    found = importlib.metadata.version

    def version(name):
        if name == "spectrodiff":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert environment()["packages"]["spectrodiff"] == spectrodiff.__version__


def test_settings_are_stored_as_json(run):
    folder, _ = run
    described = json.loads((folder / "run.json").read_text())
    assert described["settings"]["Optimization"]["ema_decay"] == 0.9
    assert described["model"]["width"] == 32
    written = json.loads((folder / "environment.json").read_text())
    assert written["packages"]["jax"] == jax.__version__
    assert len(written["devices"]) == 8
