"""Memory that the entry points keep, so that it is not mapped again."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Allocates and frees 64 MiB twice, and prints how many pages were mapped the second time.
COUNT_FAULTS = """
import ctypes, resource, threading
from spectrodiff.core.runtime import keep_memory
{call}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 64 << 20

def allocate():
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)

def work():
    allocate()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    allocate()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

worker = threading.Thread(target=work)
worker.start()
worker.join()
"""


# Runs train.py until it looks for devices.
UP_TO_THE_DEVICES = """
import contextlib
from spectrodiff.commands import train

def stop(kind):
    raise KeyboardInterrupt

train.find_devices = stop
with contextlib.suppress(KeyboardInterrupt):
    train.main(["--gin_file", "tiny.gin", "--run_dir", "nowhere"])
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="about the C library of Linux")


def faults(call: str) -> int:
    command = [sys.executable, "-c", COUNT_FAULTS.format(call=call)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout)


def test_kept_memory_is_not_mapped_again():
    # 16,384 pages, or 32 large ones.
    assert faults("") >= 32
    assert faults("keep_memory()") < 16


def test_training_keeps_memory():
    assert faults(UP_TO_THE_DEVICES) < 16
