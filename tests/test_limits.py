"""The limits that other tests rely on."""

import math
import os

import pytest

from tests.support.limits import MEGABYTE, Limited


def take(memory_bytes: int) -> int:
    return len(b"1" * memory_bytes)


def never_end() -> None:
    while True:
        pass


def shout() -> None:
    print("not an answer")
    raise ValueError("the reason")


@pytest.fixture(scope="module")
def limited():
    with Limited(memory_bytes=100 * MEGABYTE, cpu_seconds=0.5) as child:
        yield child


def test_memory(limited):
    for _ in range(2):
        assert limited.run(take, 80 * MEGABYTE) == 80 * MEGABYTE
        with pytest.raises(MemoryError):
            limited.run(take, 120 * MEGABYTE)


def test_what_ends_the_process(limited):
    with pytest.raises(AssertionError, match="processor time"):
        limited.run(never_end)
    with pytest.raises(AssertionError, match="aborted"):
        limited.run(os.abort)
    assert limited.run(math.hypot, 3.0, 4.0) == 5


def test_errors(limited):
    with pytest.raises(ValueError, match="the reason"):
        limited.run(shout)
