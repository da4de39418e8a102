"""What the entry points share."""

import subprocess
import sys

import pytest

# Allocates and frees 64 MiB twice, and says how many pages had to be mapped for the second time.
COUNT_FAULTS = """
import ctypes, resource, threading
from spectrodiff import cli
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


@pytest.mark.skipif(sys.platform != "linux", reason="about the C library of Linux")
def test_kept_memory_is_not_mapped_again():
    def faults(call: str) -> int:
        command = [sys.executable, "-c", COUNT_FAULTS.format(call=call)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 16,384 pages, or 32 where the system hands out large ones.
    assert faults("") >= 32
    assert faults("cli.keep_memory()") < 16
