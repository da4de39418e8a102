"""A campaign whose attempts fail in all ways, for tests of campaigns."""

import os
import signal
import time
from collections.abc import Iterator

from tests.campaigns.harness import Campaign, Limits, smaller_bytes

MEMORY_BYTES = 1 << 27


def make(seed: int) -> bytes:
    return bytes([7] * 40 + [seed] + [7] * 40)


def attempt(data: bytes) -> str:
    """Fails in the way that the largest byte but 7 says; other inputs are fine."""
    kind = max(set(data) - {7}, default=0)
    if kind == 1:
        while True:
            pass
    if kind == 2:
        try:
            return str(len(bytearray(2 * MEMORY_BYTES)))
        except MemoryError:
            return "refused"
    if kind == 3:
        raise KeyError("a key")
    if kind == 4:
        os._exit(3)
    if kind == 5:
        os.kill(os.getpid(), signal.SIGABRT)
    if kind == 6:
        time.sleep(1000)
    return "whole"


def smaller(data: bytes) -> Iterator[bytes]:
    return smaller_bytes(data)


CAMPAIGN = Campaign(
    make,
    attempt,
    Limits(cpu_seconds=0.2, seconds=5, memory_bytes=MEMORY_BYTES),
    apart=True,
    smaller=smaller,
    block=5,
)
