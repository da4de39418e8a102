"""Weights & Biases and Trackio: what is sent to them, and which run a resumed run continues."""

import importlib
import inspect
import json
import os
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from spectrodiff.training.loggers import open_loggers
from spectrodiff.training.loggers.logger import LoggedRun
from spectrodiff.training.metrics import MetricsWriter
from tests.support import logger_packages

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
AUDIO = np.array([0.0, 0.5, -2.0], np.float32)
SERVICES = ("wandb", "trackio")


@pytest.fixture
def use(monkeypatch):
    """Puts a stand-in in the place of a package; returns its calls."""

    def put(name, **options):
        calls = logger_packages.Calls()
        monkeypatch.setitem(sys.modules, name, getattr(logger_packages, name)(calls, **options))
        return calls

    return put


def log(folder, step, *names, failed=False):
    """Logs everything that a run reports after a step."""
    for logger in open_loggers(names, LoggedRun(folder, step, "music")):
        logger.scalars(step + 1, {"loss": 0.5})
        logger.picture(step + 1, "preview_0", PIXELS)
        logger.audio(step + 1, "preview_0", AUDIO)
        logger.close(failed=failed)


def logged(calls):
    return {name: value for call in calls.of("log") for name, value in call["data"].items()}


@pytest.fixture
def run(tmp_path):
    """Folder of a run with its settings."""
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "run.json").write_text('{"settings": {"Training": {"steps": 5}}}')
    return folder


def test_a_run_of_wandb(run, use):
    calls = use("wandb")
    log(run, 0, "wandb")
    (init,) = calls.of("init")
    assert init == {
        "project": "music",
        "id": json.loads((run / "wandb.json").read_text())["id"],
        "name": "first",
        "dir": run,
        "resume": "allow",
        "config": {"Training": {"steps": 5}},
    }
    assert {call["step"] for call in calls.of("log")} == {1}
    sent = logged(calls)
    assert sent["loss"] == 0.5
    np.testing.assert_array_equal(sent["preview_0_picture"][1], PIXELS)
    np.testing.assert_array_equal(sent["preview_0_audio"][1], AUDIO)
    assert sent["preview_0_audio"][2] == 16_000
    assert calls.of("finish") == [{"exit_code": 0}]


def test_a_run_of_trackio(run, use, capsys):
    calls = use("trackio")
    log(run, 0, "trackio")
    (init,) = calls.of("init")
    id = json.loads((run / "trackio.json").read_text())["id"]
    assert init["name"] == f"first-{id}"
    assert init["config"] == {"Training": {"steps": 5}}
    assert init["resume"] == "never"
    sent = logged(calls)
    assert sent["loss"] == 0.5
    np.testing.assert_array_equal(sent["preview_0_picture"][1], PIXELS)
    # 16-bit samples, the last of which is clipped.
    np.testing.assert_array_equal(sent["preview_0_audio"][1], [0, 16384, -32767])
    assert calls.of("finish") == [{}]
    assert not capsys.readouterr().out  # which is for results


@pytest.mark.parametrize("service", SERVICES)
def test_a_resumed_run_continues_the_same_one(service, run, use):
    calls = use(service)
    log(run, 0, service)
    log(run, 4, service)
    first, second = calls.of("init")
    key = "id" if service == "wandb" else "name"
    assert first[key] == second[key]
    assert second["resume"] == "allow"


@pytest.mark.parametrize("service", SERVICES)
def test_a_run_that_begins_anew_is_another_one(service, run, use):
    calls = use(service)
    log(run, 0, service)
    log(run, 0, service)  # killed before its first checkpoint
    first, second = calls.of("init")
    key = "id" if service == "wandb" else "name"
    assert first[key] != second[key]


def test_steps_that_wandb_already_has_are_not_sent_again(run, use):
    calls = use("wandb", step=7)
    with MetricsWriter(run, 4, loggers=("wandb",)) as writer:
        for step in range(5, 10):
            writer.scalars(step, {"loss": 0.5})
    assert [call["step"] for call in calls.of("log")] == [7, 8, 9]


def test_wandb_never_asks_for_a_key(run, use, caplog):
    calls = use("wandb", mode="online", logged_in=False)
    log(run, 0, "wandb")
    assert calls.of("login") == [{"prompt": False}]
    assert not calls.of("init")
    (message,) = caplog.messages
    assert "an API key, from `wandb login`, or WANDB_MODE=offline" in message
    assert message.endswith("training continues without it")


def test_a_failed_run_is_marked_as_failed(run, use):
    calls = use("wandb", mode="online", logged_in=True)
    with pytest.raises(ZeroDivisionError), MetricsWriter(run, 0, loggers=("wandb",)):
        raise ZeroDivisionError
    assert calls.of("finish") == [{"exit_code": 1}]


def test_pictures_are_those_of_the_file(run, use, tmp_path):
    calls = use("wandb")
    matplotlib.image.imsave(tmp_path / "a.png", PIXELS)
    with MetricsWriter(run, 0, loggers=("wandb",)) as writer:
        writer.picture(1, "preview_0", tmp_path / "a.png")
    np.testing.assert_array_equal(logged(calls)["preview_0_picture"][1], PIXELS)


def test_only_the_leader_logs(run, use):
    calls = use("wandb")
    with MetricsWriter(run, 0, loggers=("wandb",), enabled=False) as writer:
        writer.scalars(1, {"loss": 1.0})
    assert not calls.made
    assert not (run / "wandb.json").exists()


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("wandb", ["init", "login", "setup", "Image", "Audio", "Run.log", "Run.finish"]),
        ("trackio", ["init", "Image", "Audio", "Run.log", "Run.finish"]),
    ],
)
def test_stand_ins_have_the_real_signatures(package, names):
    real = pytest.importorskip(package, reason=f"{package} is not installed")
    stand_in = getattr(logger_packages, package)(logger_packages.Calls())

    def parameters(module, name):
        found = module
        for part in name.split("."):
            found = getattr(found, part)
        listed = inspect.signature(found).parameters.values()
        return {one.name: one.kind for one in listed if one.name != "self"}

    for name in names:
        ours, theirs = parameters(stand_in, name), parameters(real, name)
        assert ours.items() <= theirs.items(), name


# In a process of its own, since the packages keep threads and read the environment when imported.
LOG = """
import sys, pathlib, numpy as np, matplotlib.image
from spectrodiff.training.metrics import MetricsWriter
folder = pathlib.Path(sys.argv[1])
matplotlib.image.imsave(folder / "a.png", np.zeros((8, 8, 3), np.uint8))
for step in (0, 2):
    with MetricsWriter(folder, step, loggers=[sys.argv[2]]) as writer:
        writer.scalars(step + 1, {"loss": 0.25})
        writer.picture(step + 1, "preview_0", folder / "a.png")
        writer.audio(step + 1, "preview_0", np.zeros(320, np.float32))
"""


def log_with(package, folder):
    importlib.import_module(package)
    folder.mkdir()
    place = {"WANDB_MODE": "offline", "TRACKIO_DIR": str(folder / "trackio")}
    done = subprocess.run(
        [sys.executable, "-c", LOG, str(folder), package],
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "continues without it" not in done.stderr, done.stderr
    return json.loads((folder / f"{package}.json").read_text())["id"]


def test_files_of_the_real_wandb(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    id = log_with("wandb", tmp_path / "run")
    files = list((tmp_path / "run" / "wandb").glob(f"offline-run-*-{id}/run-{id}.wandb"))
    assert len(files) == 2  # of one run, in two processes
    assert all(file.stat().st_size for file in files)
    suffixes = {path.suffix for path in (tmp_path / "run" / "wandb").rglob("media/*/*")}
    assert {".png", ".wav"} <= suffixes


def test_files_of_the_real_trackio(tmp_path):
    pytest.importorskip("trackio", reason="trackio is not installed")
    import sqlite3

    id = log_with("trackio", tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "trackio" / "spectrodiff.db") as base:
        rows = base.execute("select run_name, step, metrics from metrics").fetchall()
    assert {name for name, _, _ in rows} == {f"run-{id}"}
    losses = {step: json.loads(values).get("loss") for _, step, values in rows if b"loss" in values}
    assert losses == {1: 0.25, 3: 0.25}
    assert sum(b"trackio.image" in values for _, _, values in rows) == 2
    assert sum(b"trackio.audio" in values for _, _, values in rows) == 2
