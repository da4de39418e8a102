"""Times of function calls."""

import time
from collections.abc import Callable

import jax


def seconds_of(function: Callable[[], object]) -> float:
    """Returns the seconds until the results of a call are computed."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def best_seconds(function: Callable[[], object], runs: int) -> float:
    """Returns the shortest time of several calls, after one to warm up."""
    function()
    return min(seconds_of(function) for _ in range(runs))
