"""Loggers that fail or hang: they are reported once, and training goes on."""

import logging
import sys
import threading
from pathlib import Path

import pytest

from spectrodiff.commands import program
from spectrodiff.core.errors import ConfigError
from spectrodiff.training.loggers import LOGGERS, check_installed, failsafe
from spectrodiff.training.loggers.failsafe import Background, Failsafe
from tests.support.imports import imported

PACKAGE = Path(__file__).parents[3] / "spectrodiff"


class Recorder:
    """Logger that keeps the steps of its curves, and fails at some of them."""

    def __init__(self, *bad):
        self.bad, self.steps, self.closed = bad, [], None

    def scalars(self, step, values):
        if step in self.bad:
            raise ConnectionError("no route")
        self.steps.append(step)

    def close(self, *, failed=False):
        self.closed = failed


@pytest.fixture(params=[Failsafe, Background])
def kind(request):
    return request.param


def test_calls_arrive_in_order(kind):
    recorder = Recorder()
    logger = kind("service", lambda: recorder)
    for step in range(100):
        logger.scalars(step, {"loss": 1.0})
    logger.close(failed=True)
    assert recorder.steps == list(range(100))
    assert recorder.closed is True


def test_a_failure_is_reported_once(kind, caplog):
    recorder = Recorder(2, 3, 4, 7)
    with caplog.at_level(logging.INFO, "spectrodiff"):
        logger = kind("service", lambda: recorder)
        for step in range(1, 7):
            logger.scalars(step, {"loss": 1.0})
        logger.close()
    assert recorder.steps == [1, 5, 6]
    assert caplog.messages == [
        "service: no route; training continues without it",
        "service: works again",
    ]


def test_a_logger_that_cannot_be_opened_is_left_out(kind, caplog):
    def fail():
        raise ConfigError("key", "a key", "none")

    logger = kind("service", fail)
    for step in range(3):
        logger.scalars(step, {"loss": 1.0})
    logger.close()
    assert caplog.messages == [
        "service: key: expected a key, got none; training continues without it"
    ]


class Quitter(Recorder):
    """Logger that ends the program."""

    def scalars(self, step, values):
        if step in self.bad:
            sys.exit("no key")
        super().scalars(step, values)


def test_a_logger_that_ends_the_program_is_left_out(kind, caplog):
    recorder = Quitter(1)
    with caplog.at_level(logging.INFO, "spectrodiff"):
        logger = kind("service", lambda: recorder)
        logger.scalars(1, {"loss": 1.0})
        logger.scalars(2, {"loss": 1.0})
        logger.close()
        kind("other", sys.exit).close()
    assert (recorder.steps, recorder.closed) == ([2], False)
    assert caplog.messages == [
        "service: no key; training continues without it",
        "service: works again",
        "other: SystemExit; training continues without it",
    ]


def test_a_thread_survives_everything(caplog):
    class Interrupted(Recorder):
        def scalars(self, step, values):
            raise KeyboardInterrupt

    recorder = Interrupted()
    logger = Background("service", lambda: recorder)
    logger.scalars(1, {"loss": 1.0})
    logger.close()
    assert recorder.closed is False
    assert caplog.messages[0] == "service: KeyboardInterrupt; training continues without it"
    # In the thread that trains, an interrupt is for the run.
    with pytest.raises(KeyboardInterrupt):
        Failsafe("service", Interrupted).scalars(1, {"loss": 1.0})


def test_messages_of_services_are_plain_text_in_one_line(kind, caplog):
    def fail():
        raise RuntimeError("\x1b[31mno\nroute\x07")

    kind("service", fail).close()
    assert caplog.messages == [
        r"service: \x1b[31mno route\x07; training continues without it",
    ]


def test_a_logger_that_hangs_delays_nothing(monkeypatch, caplog):
    monkeypatch.setattr(failsafe, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(failsafe, "MAX_WAITING", 10)
    go_on, opened = threading.Event(), threading.Event()

    def hang():
        opened.set()
        go_on.wait()
        return Recorder()

    logger = Background("service", hang)
    opened.wait()
    for step in range(25):
        logger.scalars(step, {"loss": 1.0})
    logger.close()
    go_on.set()
    assert caplog.messages == [
        "service: not finished after 0.05 s; ends as it is",
        "service: 15 records are missing",
    ]


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("tensorboard", "'tensorboardX>=2.6.5'"),
        ("wandb", "'wandb>=0.31'"),
        ("trackio", "trackio"),
    ],
)
def test_a_missing_package_is_named(name, install, monkeypatch):
    monkeypatch.setitem(sys.modules, LOGGERS[name].package, None)
    with pytest.raises(ConfigError) as error:
        check_installed([name])
    package = LOGGERS[name].package
    assert str(error.value) == (
        f"Training.loggers: expected the package {package} for {name!r} (pip install {install}), "
        "got none"
    )
    check_installed([])


def test_training_without_a_package_ends_before_anything_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    config = str(PACKAGE.parent / "configs" / "tiny.gin")
    assert program.run(program.main, ["train", "--gin_file", config, "--run_dir", "run"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: train: expected the packages of the extra 'train', got no tensor"
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "wandb" / "offline-run").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(ConfigError, match="the package wandb"):
        check_installed(["wandb"])


def test_packages_of_loggers_are_imported_in_their_files_alone():
    packages = {service.package for service in LOGGERS.values()}
    found = {
        (name.partition(".")[0], path.name)
        for path in PACKAGE.rglob("*.py")
        for name in imported(path.read_text())
        if name.partition(".")[0] in packages
    }
    assert found == {
        ("tensorboardX", "tensorboard.py"),
        ("wandb", "wandb_run.py"),
        ("trackio", "trackio_run.py"),
    }
