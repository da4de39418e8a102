"""The ceilings: how fast matrices are multiplied and memory is copied here."""

import functools
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from on_device.common import compile_program
from on_device.results import Ceiling, CeilingSettings, Row
from on_device.runner import Job
from on_device.scale import Scale

# Calls follow one another without waiting, as in a program; a few such series are timed.
CALLS, SERIES = 10, 7


def jobs(scale: Scale) -> list[Job]:
    """Matrices in both precisions, and memory."""
    made = []
    for precision in ("bfloat16", "float32"):
        settings = CeilingSettings("matrices", precision, scale.matrix_width)
        row = Row("ceilings", "ceiling", settings)
        prepare = functools.partial(prepare_matrices, precision, scale.matrix_width)
        made.append(Job(row, functools.partial(measure_matrices, scale.matrix_width), prepare))
    settings = CeilingSettings("memory", "float32", scale.copy_bytes)
    prepare = functools.partial(prepare_copy, scale.copy_bytes)
    measure = functools.partial(measure_copy, scale.copy_bytes)
    made.append(Job(Row("ceilings", "ceiling", settings), measure, prepare))
    return made


def prepare_matrices(precision: str, width: int) -> Any:
    """The compiled product and two random matrices."""
    keys = jax.random.split(jax.random.key(0))
    left, right = (jax.random.normal(key, (width, width)).astype(precision) for key in keys)
    return compile_program(jax.jit(jnp.matmul), left, right).compiled, left, right


def measure_matrices(width: int, prepared: Any, allowance: float) -> Ceiling:
    """Operations per second."""
    product, left, right = prepared

    def series() -> Any:
        for _ in range(CALLS):
            result = product(left, right)
        return result

    seconds = _median_of_series(series)
    return Ceiling(2 * width**3 / seconds, seconds, SERIES * CALLS)


def prepare_copy(size: int) -> Any:
    """A compiled program that reads an array and writes one as large."""
    array = jnp.zeros(size // 4, jnp.float32)
    return compile_program(jax.jit(lambda array: array + 1, donate_argnums=0), array).compiled, size


def measure_copy(size: int, prepared: Any, allowance: float) -> Ceiling:
    """Bytes per second, read and written."""
    copy, _ = prepared
    array = jnp.zeros(size // 4, jnp.float32)

    def series() -> Any:
        nonlocal array
        for _ in range(CALLS):
            array = copy(array)
        return array

    seconds = _median_of_series(series)
    return Ceiling(2 * size / seconds, seconds, SERIES * CALLS)


def float32_error(width: int = 512) -> float:
    """Largest error of a float32 product under the default precision, over its largest entry."""
    left, right = np.random.default_rng(0).standard_normal((2, width, width))
    product = np.asarray(jnp.matmul(left.astype(np.float32), right.astype(np.float32)))
    exact = left.astype(np.float32).astype(np.float64) @ right.astype(np.float32)
    return float(np.abs(product - exact).max() / np.abs(exact).max())


def _median_of_series(series: Any) -> float:
    """Seconds of one call."""
    jax.block_until_ready(series())
    times = []
    for _ in range(SERIES):
        start = time.perf_counter()
        jax.block_until_ready(series())
        times.append((time.perf_counter() - start) / CALLS)
    return statistics.median(times)
