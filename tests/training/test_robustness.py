"""Failures that must not end or damage a run: full disks, hanging reads, second processes."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from spectrodiff.core import distributed
from spectrodiff.core.distributed import StopRequest, closing_soon
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.lock import LOCK, lock_run
from spectrodiff.training import journal
from spectrodiff.training.metrics import MetricsWriter
from spectrodiff.training.run_folder import hold_run, open_run
from tests.support.patience import PATIENCE_SECONDS
from tests.support.runs import settings
from tests.support.tensorboard import read_events

ROOT = Path(__file__).parents[2]


class Disk:
    """Replaces os.write by a disk with `room` bytes left, which writes as many bytes as fit."""

    def __init__(self, monkeypatch):
        self.room = 1 << 30
        write = os.write

        def limited(file, data):
            fits = min(len(data), self.room)
            if fits == 0 and len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= fits
            return write(file, bytes(data)[:fits])

        monkeypatch.setattr(journal.os, "write", limited)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def points(folder):
    (file,) = (folder / "tensorboard").iterdir()
    events = [event for event in read_events(file) if event.summary.value]
    return {event.step: event.summary.value[0].simple_value for event in events}


def test_records_wait_for_space_on_the_disk(tmp_path, disk, caplog):
    with caplog.at_level(logging.INFO, "spectrodiff"), MetricsWriter(tmp_path, 0) as writer:
        writer.scalars(1, {"loss": 1.0})
        disk.room = 10  # less than a row
        for step in range(2, 60):
            writer.scalars(step, {"loss": float(step)})
        assert [row["step"] for row in rows(tmp_path)] == [1]
        disk.room = 1 << 30
        writer.scalars(60, {"loss": 60.0})
    wanted = {step: float(step) for step in range(1, 61)}
    assert {row["step"]: row["loss"] for row in rows(tmp_path)} == wanted
    assert points(tmp_path) == wanted
    for name in ("metrics.jsonl", "tensorboard"):
        logged = [message for message in caplog.messages if name in message]
        assert len(logged) == 2, logged
        assert "No space left on device; training continues" in logged[0]
        assert logged[1].endswith("works again")


def test_the_number_of_lost_records_is_logged_at_the_end(tmp_path, disk, monkeypatch, caplog):
    disk.room = 0
    monkeypatch.setattr(journal, "MAX_WAITING_BYTES", 100)
    with MetricsWriter(tmp_path, 0) as writer:
        for step in range(1, 30):
            writer.scalars(step, {"loss": 0.5})
    assert any("29 records are missing" in message for message in caplog.messages)


def test_rows_of_a_restarted_run_are_not_repeated(tmp_path):
    for _ in range(2):  # killed before the first checkpoint
        with MetricsWriter(tmp_path, 0) as writer:
            writer.scalars(0, {"evaluation/loss": 1.0})
            writer.scalars(1, {"loss": 0.5})
    assert [row["step"] for row in rows(tmp_path)] == [0, 1]
    with MetricsWriter(tmp_path, 1) as writer:
        assert writer.evaluated(0)
        assert not writer.evaluated(1)


@pytest.mark.parametrize("damage", [b"{}\n", b"7\n", b"\0\0\0\0", b"\xff\xfe\n", b'{"step": "1"}'])
def test_damaged_rows_are_removed(tmp_path, damage):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1, "loss": 0.5}\n' + damage)
    with MetricsWriter(tmp_path, 1):
        pass
    assert rows(tmp_path) == [{"step": 1, "loss": 0.5}]


@pytest.fixture
def never():
    """A function that does not return before the test is over."""
    over = threading.Event()
    yield over.wait
    over.set()
    distributed._given_up.clear()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_wait_ends_when_asked_to_stop(never, number):
    with StopRequest() as stop:
        assert stop.unless_asked(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            stop.unless_asked(lambda: 1 // 0)
        threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
        assert stop.unless_asked(never) is None
        assert stop.asked
        assert stop.agreed()
        assert stop.unless_asked(lambda: 3) is None  # nothing new is started
        if number == signal.SIGINT:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)


def test_closing_does_not_wait_forever(never, monkeypatch):
    class Stuck:
        def close(self):
            never()

    monkeypatch.setattr(distributed, "END_SECONDS", 0.05)
    with closing_soon(Stuck()):
        pass
    with pytest.raises(RuntimeError, match="its own"), closing_soon(Stuck()):
        raise RuntimeError("its own")


def test_a_process_ends_although_a_thread_hangs():
    """Simulates Grain's readers on a disk that does not respond."""
    script = (
        "import concurrent.futures, threading\n"
        "from spectrodiff.core import distributed\n"
        "pool = concurrent.futures.ThreadPoolExecutor(1)\n"
        "class Reader:\n"
        "    def close(self): pool.submit(threading.Event().wait).result()\n"
        "distributed.END_SECONDS = 0.05\n"
        "with distributed.closing_soon(Reader()): print('saved')\n"
        "distributed.leave(0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (ended.returncode, ended.stdout) == (0, "saved\n"), ended.stderr


HOLD = """
import sys
from pathlib import Path
from spectrodiff.core.lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_which_one_holds_the_run(tmp_path):
    folder = tmp_path / "run"
    program = [sys.executable, "-c", HOLD, str(folder)]
    holder = subprocess.Popen(program, cwd=ROOT, stdin=-1, stdout=-1, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConfigError) as refused, hold_run(folder):
        pass
    name = f"process {holder.pid} on {os.uname().nodename}, which has done so since 2"
    assert f"{folder}: expected a run that no other process is training, got {name}" in str(
        refused.value
    )
    with pytest.raises(ConfigError, match=f"process {holder.pid} on"), lock_run(folder):
        pass  # the refused process did not remove the name
    holder.kill()
    holder.wait()
    with hold_run(folder):
        assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()
    with hold_run(folder):
        pass


def test_an_error_of_closing_the_lock_ends_nothing(tmp_path, monkeypatch):
    close = os.close

    def failing(file):
        close(file)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with lock_run(tmp_path):
        monkeypatch.setattr(os, "close", failing)
    monkeypatch.undo()
    with lock_run(tmp_path):
        pass


def test_a_disk_without_locks_is_reported(tmp_path, monkeypatch, caplog):
    import fcntl

    def flock(file, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock_run(tmp_path):
        pass
    assert "no file locks on this disk" in caplog.text


def test_a_run_killed_at_its_start_can_be_started_again(tmp_path):
    (tmp_path / ".partial-abc.json").write_text('{"for')
    (tmp_path / LOCK).write_text("")
    with hold_run(tmp_path):
        open_run(tmp_path, settings(), write=True)
    assert {path.name for path in tmp_path.iterdir()} == {LOCK, "run.json", "environment.json"}


def test_other_folders_are_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with (
        pytest.raises(ConfigError, match="a new or empty folder, or that of a run"),
        hold_run(tmp_path),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_audio_waits_for_space_on_the_disk(tmp_path, disk):
    with MetricsWriter(tmp_path, 0) as writer:
        disk.room = 0
        writer.audio(3, "a", np.zeros(320, np.float32))
        disk.room = 1 << 30
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert [event.step for event in read_events(file)] == [0, 1, 3]
