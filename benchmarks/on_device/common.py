"""Helpers of all measurements: random parameters, timing, compilation, memory."""

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from counting import count_flops

from spectrodiff.checkpoints.tree import nest

POOL = 1 << 22


class Timing(NamedTuple):
    """Median of so many repeats."""

    seconds: float
    repeats: int


class Program(NamedTuple):
    """A compiled program with its costs."""

    compiled: Any
    compile_seconds: float  # tracing and lowering included
    bytes: int | None  # arguments, results and temporary memory, if the backend says
    flops: float  # in matrix products; a loop of unknown length counts once


class Once:
    """Things that several threads want and that are made once, by the first who does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[Any, threading.Lock] = {}
        self._made: dict[Any, Any] = {}

    def __call__(self, key: Any, make: Callable[[], Any]) -> Any:
        """Value that `make` gave for a key; one that failed is tried again by the next."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def replace(self, key: Any, value: Any) -> None:
        """Replaces the value of a key."""
        self._made[key] = value


def random_params(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Host arrays of about the sizes that initialisation gives; norm scales are 1.

    They repeat themselves after some millions of numbers: products of them take as long as others,
    and hundreds of millions of numbers do not have to be drawn.
    """
    pool = np.random.default_rng(0).standard_normal(POOL, np.float32)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("scale"):
            return np.ones(shape, np.float32)
        fan_in = shape[-2] if len(shape) > 1 else 1
        # The factor of attention's logits is part of the query's parameters.
        fan_in *= 64 if "query" in name else 1
        return np.resize(pool, shape) * np.float32(fan_in**-0.5)

    return nest({name: draw(name, shape) for name, shape in shapes.items()})


def compile_program(jitted: Any, *arguments: Any) -> Program:
    """Compiles for these arguments; calls of the jitted function find the program afterwards."""
    start = time.perf_counter()
    traced = jitted.trace(*arguments)
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - start
    return Program(compiled, seconds, program_bytes(compiled), count_flops(traced.jaxpr))


def program_bytes(compiled: Any) -> int | None:
    """Arguments, results and temporary memory, if the backend says."""
    try:
        memory = compiled.memory_analysis()
        return int(
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            + memory.temp_size_in_bytes
            - memory.alias_size_in_bytes
        )
    except Exception as error:  # no row is lost for this
        print(f"memory of a program is not known: {error}", flush=True)
        return None


def seconds_of(function: Callable[[], Any]) -> float:
    """Seconds that one call takes until its results are there."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def repeat(function: Callable[[], Any], allowance: float, most: int = 20) -> Timing:
    """Calls a function once to warm up, then for about so many seconds, but once at least."""
    first = seconds_of(function)
    repeats = max(1, min(most, math.floor(allowance / max(first, 1e-6))))
    return Timing(statistics.median(seconds_of(function) for _ in range(repeats)), repeats)


def memory_limit() -> int | None:
    """Bytes that JAX may use on the device, if the backend says."""
    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit")


def peak_bytes() -> int | None:
    """The most that this process has used on the device up to now, if the backend says."""
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
