"""Functions that all measurements share: random parameters, timing, compilation, memory."""

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from counting import count_flops
from timing import seconds_of

from spectrodiff.checkpoints.tree import nest

POOL = 1 << 22  # number of different random numbers


class Timing(NamedTuple):
    """Median time of several calls."""

    seconds: float
    repeats: int


class Program(NamedTuple):
    """A compiled program with its costs."""

    compiled: jax.stages.Compiled
    compile_seconds: float  # with tracing and lowering
    bytes: int | None  # of arguments, results and temporary memory, if the backend reports them
    flops: float  # of matrix products; a loop of unknown length counts once


class Once:
    """Values that several threads share and that the first one makes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[Any, threading.Lock] = {}
        self._made: dict[Any, Any] = {}

    def __call__(self, key: Any, make: Callable[[], Any]) -> Any:
        """Returns the value of a key, made by `make` if no earlier call has succeeded."""
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
    """Returns host arrays scaled about like initial parameters; norm scales are 1.

    The numbers are repeated after some millions, which saves time and does not change the speed of
    products.
    """
    pool = np.random.default_rng(0).standard_normal(POOL, np.float32)

    def random(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("scale"):
            return np.ones(shape, np.float32)
        fan_in = shape[-2] if len(shape) > 1 else 1
        # The factor of attention's logits is part of the query's parameters.
        fan_in *= 64 if "query" in name else 1
        return np.resize(pool, shape) * np.float32(fan_in**-0.5)

    return nest({name: random(name, shape) for name, shape in shapes.items()})


def compile_program(jitted: jax.stages.Wrapped, *arguments: Any) -> Program:
    """Compiles a function for arguments; later calls of the jitted function use the program."""
    start = time.perf_counter()
    traced = jitted.trace(*arguments)
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - start
    return Program(compiled, seconds, program_bytes(compiled), count_flops(traced.jaxpr))


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Returns the size of arguments, results and temporary memory, if the backend reports it."""
    try:
        memory = compiled.memory_analysis()
        return int(
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            + memory.temp_size_in_bytes
            - memory.alias_size_in_bytes
        )
    except Exception as error:  # not a reason to lose the row
        print(f"memory of a program is not known: {error}", flush=True)
        return None


def repeat(function: Callable[[], object], allowance: float, most: int = 20) -> Timing:
    """Times calls of a function for about `allowance` seconds, at least one, after a first call."""
    first = seconds_of(function)
    repeats = max(1, min(most, math.floor(allowance / max(first, 1e-6))))
    return Timing(statistics.median(seconds_of(function) for _ in range(repeats)), repeats)


def memory_limit() -> int | None:
    """Returns the bytes that JAX can use on the device, if the backend reports them."""
    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit")


def peak_bytes() -> int | None:
    """Returns the peak memory of this process on the device, if the backend reports it."""
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
