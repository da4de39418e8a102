"""Ctrl-C while a command starts, starts other processes, and ends."""

import multiprocessing
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.pieces import MemoryPieces, PieceLength
from spectrodiff.data.prepare.workers import map_in_processes
from tests.support.corpora import SMALL, corpus
from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
# Ctrl-C while a script imports its command.
AT_THE_START = """
import os, runpy, signal, sys

class Finder:
    def find_spec(name, *_):
        if name == "spectrodiff.commands.{command}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder)
runpy.run_path("{script}", run_name="__main__")
"""
# Ctrl-C while Python clears up.
AT_THE_END = """
import atexit, os, signal
from spectrodiff.commands import program
atexit.register(os.kill, os.getpid(), signal.SIGINT)
program.finish(0)
"""
# A module that crashes while Python clears it up, as one that is half imported.
CRASHING = """
import atexit, os, signal, sys
from spectrodiff.commands import program

class Crash:
    def __del__(self, kill=os.kill, number=os.getpid(), crash=signal.SIGSEGV):
        kill(number, crash)

def main(arguments):
    import {module}
    sys.half_imported = Crash()
    atexit.register(print, "removed")
    raise {error}

program.finish(program.run(main, []))
"""
ERROR = "program.SpectrodiffError('a', 'b', 'c')"
# Another Ctrl-C while objects of a stopped command are deleted.
TWICE = """
import os, signal
from spectrodiff.commands import program

class Interrupting:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def main(arguments):
    deleted = Interrupting()
    raise KeyboardInterrupt

program.finish(program.run(main, []))
"""
# Ctrl-C while other processes work, which are children that Python waits for.
WITH_WORKERS = """
from spectrodiff.commands import program
from spectrodiff.data.prepare.workers import map_in_processes

def main(arguments):
    for _ in map_in_processes(abs, range(-100, 0), 2):
        raise KeyboardInterrupt

if __name__ == "__main__":
    program.finish(program.run(main, []))
"""
# Ctrl-C while Python collects garbage, where it ignores errors.
IN_A_CALLBACK = """
import gc, os, signal
from spectrodiff.commands import program

def interrupt(phase, info):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGINT)

def main(arguments):
    gc.callbacks.append(interrupt)
    gc.collect()
    signal.pause()

program.finish(program.run(main, []))
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def blocks_ctrl_c(process) -> bool:
    """Returns True if a process, given by its number or "self", does not get Ctrl-C."""
    status = Path(f"/proc/{process}/status").read_text()
    mask = int(re.search(r"^SigBlk:\s*(\w+)", status, re.MULTILINE)[1], 16)
    return bool(mask >> signal.SIGINT - 1 & 1)


def test_workers_of_a_preparation_never_get_ctrl_c():
    """A signal that they ignore only once they run finds them importing."""
    assert list(map_in_processes(blocks_ctrl_c, ["self", "self"], 2)) == [True, True]
    assert not blocks_ctrl_c("self")


def test_workers_of_training_never_get_ctrl_c():
    pieces = MemoryPieces(corpus(3), PieceLength(25, 20))
    with TrainingBatches([pieces], SMALL, batch_size=2, seed=0, workers=1) as batches:
        next(batches)
        (worker,) = multiprocessing.active_children()
        assert blocks_ctrl_c(worker.pid)
        assert not blocks_ctrl_c("self")


def run(script: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_ctrl_c_during_imports(command):
    script = {"evaluate": "eval"}.get(command, command)
    done = run(AT_THE_START.format(script=f"{script}.py", command=command))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_ctrl_c_at_the_end():
    done = run(AT_THE_END)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_with_workers():
    done = run(WITH_WORKERS)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_ctrl_c_twice():
    done = run(TWICE)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "stopped\n")


@pytest.mark.parametrize("words", [["-c", IN_A_CALLBACK], ["sample.py", "none.mid"]])
def test_ends_without_standard_output(words):
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, *words]
    done = subprocess.run(
        shell, capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE_SECONDS
    )
    if words[0] == "-c":
        assert (done.returncode, done.stderr) == (130, "stopped\n")
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("error: none.mid")
        assert done.stderr.count("\n") == 1


def test_ctrl_c_in_a_callback():
    done = run(IN_A_CALLBACK)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


@pytest.mark.parametrize(
    ("error", "status", "said", "module"),
    [
        ("KeyboardInterrupt", 130, "stopped\n", "json"),
        (ERROR, 1, "error: a: expected b, got c\n", "json"),
        (ERROR, 1, "error: a: expected b, got c\n", "spectrodiff.core.distributed"),
    ],
)
def test_a_crash_of_what_is_left_half_done(error, status, said, module):
    done = run(CRASHING.format(error=error, module=module))
    assert (done.returncode, done.stdout, done.stderr) == (status, "removed\n", said)
