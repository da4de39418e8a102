"""Checkpoints that were damaged after they were saved, and saves that fail."""

import contextlib
import json
import logging
import os
import shutil
import time

import jax
import numpy as np
import pytest
import tensorstore

from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.run_folder import import_run
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.run_folder import open_run
from spectrodiff.training.settings import Optimization
from spectrodiff.training.state import abstract_state
from tests.support import tiny
from tests.support.files import small_files
from tests.support.runs import ADAMW_EMA, settings


@pytest.fixture(scope="module")
def trainer():
    return tiny.Trainer(optimization=ADAMW_EMA)


@pytest.fixture(scope="module")
def whole(trainer, tmp_path_factory):
    """A run with checkpoints of steps 2 and 3, and their states."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    states = {}
    with Checkpoints(open_run(folder, settings(), write=True), keep=5) as checkpoints:
        for step in (1, 2, 3):
            trainer.take(tiny.batch(8, seed=step))
            if step > 1:
                states[step] = trainer.host()
                checkpoints.save(step, trainer.state, {"batches": step})
    return folder, states


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "run")


def logged(caplog):
    """Log messages of the package, without those of Orbax."""
    records = [record for record in caplog.records if record.name.startswith("spectrodiff")]
    return [record.getMessage() for record in records]


def abstract(trainer):
    return abstract_state(trainer.task, trainer.optimizer, trainer.layout)


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=os.path.getsize)


def empty(path):
    path.write_bytes(b"")


def cut(folder):
    path = largest_file(folder)
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = {
    "a manifest without a byte": ("ema/manifest.ocdbt", empty, "manifest"),
    "no manifest": ("ema/manifest.ocdbt", os.remove, "ema: no manifest.ocdbt"),
    "half an array": ("ema", cut, "ema: "),
    "no array": ("ema", lambda part: largest_file(part).unlink(), "ema: "),
    "half a description": ("ema/_METADATA", lambda f: os.truncate(f, 99), "99 bytes"),
    "no average": ("ema", shutil.rmtree, "ema: no such folder"),
    "nothing": (".", lambda folder: [shutil.rmtree(path) for path in folder.glob("*/")], "no such"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_model_is_that_of_the_previous_checkpoint(whole, run, caplog, capfd, name):
    place, damage, reason = DAMAGES[name]
    damage(run / "checkpoints" / "3" / place)
    checkpoint = open_checkpoint(run)
    assert checkpoint.layout == "training run, step 2"
    tiny.assert_trees(checkpoint.params, whole[1][2].ema)
    (message,) = logged(caplog)
    assert message.startswith(f"{run / 'checkpoints' / '3'} is damaged (")
    assert reason in message
    assert message.endswith("): step 2 is read instead")
    assert "\n" not in message
    assert len(message) < len(str(run)) * 2 + 400
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err + printed.out
    for chosen in ({"step": 3}, {}):  # a named checkpoint is not replaced by another
        with pytest.raises(
            CheckpointError, match="3: expected an undamaged checkpoint, got a damaged"
        ):
            import_run(run if chosen else run / "checkpoints" / "3", **chosen)


@pytest.mark.parametrize("place", ["opt_state/manifest.ocdbt", "params/manifest.ocdbt", "data"])
def test_a_run_resumes_from_the_previous_checkpoint(trainer, whole, run, caplog, place):
    path = run / "checkpoints" / "3" / place
    shutil.rmtree(path) if path.is_dir() else empty(path)
    folder = run / "checkpoints"
    strict = Checkpoints(folder, keep=5, strict=True)
    with strict, pytest.raises(CheckpointError, match="3: expected an undamaged checkpoint, got a"):
        strict.restore(abstract(trainer))
    with Checkpoints(folder, keep=2) as checkpoints:
        restored = checkpoints.restore(abstract(trainer))
        assert restored.position == {"batches": 2}
        tiny.assert_trees(restored.state, whole[1][2])
        assert checkpoints.latest == 2
        # The folder of the damaged step can be written again.
        for step in (3, 4):
            checkpoints.save(step, restored.state, {"batches": step})
    assert {path.name for path in folder.iterdir()} == {"3", "4", "3.damaged"}
    (message,) = logged(caplog)
    assert message.startswith(f"{folder / '3'} is damaged ({place.split('/')[0]}: ")
    assert message.endswith("): resuming from step 2; it is renamed to 3.damaged")
    assert open_checkpoint(run).layout == "training run, step 4"


def test_if_all_are_damaged_the_newest_is_named(trainer, run):
    for step in "23":
        empty(run / "checkpoints" / step / "ema" / "manifest.ocdbt")
    wanted = (
        r"3: expected an undamaged checkpoint, got a damaged one \(ema: .*as are the 1 before it"
    )
    with pytest.raises(CheckpointError, match=wanted):
        open_checkpoint(run)
    with (
        Checkpoints(run / "checkpoints", keep=2) as checkpoints,
        pytest.raises(CheckpointError, match=wanted),
    ):
        checkpoints.restore(abstract(trainer))
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"2", "3"}


def test_another_network_is_not_taken_for_damage(run, caplog):
    other = tiny.Trainer(optimization=Optimization(ema_decay=0.9))
    with (
        Checkpoints(run / "checkpoints", keep=2) as checkpoints,
        pytest.raises(CheckpointError, match="3: expected a checkpoint of this network"),
    ):
        checkpoints.restore(abstract(other))
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"2", "3"}
    assert not logged(caplog)


def test_arrays_larger_than_the_state_are_not_read(trainer, run, caplog):
    part = run / "checkpoints" / "3" / "opt_state"
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": part.as_uri() + "/"}).result()
    key = next(
        key for key in store.list().result() if key.endswith(b"mu.decoder.output.kernel/zarr.json")
    )
    described = json.loads(store[key])
    described["shape"] = [1 << 14, 1 << 14]  # its other chunks would be missing
    store[key] = json.dumps(described)
    wanted = r"3: expected a checkpoint of this network, got 1,07\d,\d{3},\d{3} bytes in opt_state"
    for strict in (False, True):
        with (
            Checkpoints(run / "checkpoints", keep=2, strict=strict) as checkpoints,
            pytest.raises(CheckpointError, match=wanted),
        ):
            checkpoints.restore(abstract(trainer))
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"2", "3"}
    assert not logged(caplog)


@contextlib.contextmanager
def small_checkpoints():
    """Limits the size of files to less than the parameters of a checkpoint.

    Programs compiled meanwhile are not cached, because their files would be truncated.
    """
    seconds = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)
    try:
        with small_files(100_000):
            yield
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)


def test_a_failed_save_is_reported_and_the_next_save_works(trainer, tmp_path, caplog):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, trainer.state, {"batches": step})
        checkpoints.wait()
        with small_checkpoints():
            checkpoints.save(3, trainer.state, {"batches": 3})
            for _ in range(3000):  # reported before the next save
                checkpoints.poll()
                if logged(caplog):
                    break
                time.sleep(0.01)
        (message,) = logged(caplog)
        wanted = "step 3: no checkpoint (File too large); saving will be tried again"
        assert message.startswith(wanted)
        for step in (4, 5):
            checkpoints.save(step, trainer.state, {"batches": step})
    assert len(logged(caplog)) == 1
    # All old checkpoints are removed.
    assert {path.name for path in tmp_path.iterdir()} == {"4", "5"}


def test_a_failed_last_save_is_an_error(trainer, tmp_path, caplog):
    with (
        pytest.raises(OutputError, match="room for a checkpoint"),
        small_checkpoints(),
        Checkpoints(tmp_path, keep=2) as checkpoints,
    ):
        checkpoints.save(1, trainer.state, {"batches": 1})
    with caplog.at_level(logging.WARNING), Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest is None


@pytest.mark.parametrize("name", ["20240501", "²", "checkpoints"])
def test_a_run_may_have_any_name(whole, tmp_path, name):
    run = tmp_path / name
    shutil.copytree(whole[0], run)
    for other in ("²", "٣", "007", "3.orbax-checkpoint-tmp-1"):  # not the names of steps
        (run / "checkpoints" / other).mkdir()
    (run / "checkpoints" / "9").write_text("a file")
    linked = tmp_path / "link"
    linked.symlink_to(run / "checkpoints" / "2")
    for path, step in ((run, 3), (run / "checkpoints" / "2", 2), (linked, 2)):
        checkpoint = open_checkpoint(path)
        assert checkpoint.layout == f"training run, step {step}"
        tiny.assert_trees(checkpoint.params, whole[1][step].ema)


def test_a_folder_named_by_digits_need_not_be_a_checkpoint(whole, run, monkeypatch):
    stray = run.parent / "1" / "5"
    stray.mkdir(parents=True)
    with pytest.raises(CheckpointError, match="5: expected a folder with a model"):
        open_checkpoint(stray)
    monkeypatch.chdir(run / "checkpoints" / "2")
    checkpoint = open_checkpoint(".")
    assert checkpoint.layout == "training run, step 2"
    assert np.isfinite(checkpoint.params["decoder"]["positions"]).all()
