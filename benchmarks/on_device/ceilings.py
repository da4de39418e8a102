"""Ceilings of the device: rates of matrix products and of memory."""

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

# Number of calls in a series, without waiting between them, and number of timed series.
CALLS, SERIES = 10, 7


def jobs(scale: Scale) -> list[Job]:
    """Returns the rows of matrix products in both precisions, and of memory."""
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
    """Returns a compiled product and two random matrices."""
    keys = jax.random.split(jax.random.key(0))
    left, right = (jax.random.normal(key, (width, width)).astype(precision) for key in keys)
    return compile_program(jax.jit(jnp.matmul), left, right).compiled, left, right


def measure_matrices(width: int, prepared: Any, allowance: float) -> Ceiling:
    """Measures the operations per second of a matrix product."""
    product, left, right = prepared

    def series() -> Any:
        for _ in range(CALLS):
            result = product(left, right)
        return result

    seconds = _median_of_series(series)
    return Ceiling(2 * width**3 / seconds, seconds, SERIES * CALLS)


def prepare_copy(size: int) -> Any:
    """Returns a compiled program that reads and writes an array, and the size of the array."""
    array = jnp.zeros(size // 4, jnp.float32)
    return compile_program(jax.jit(lambda array: array + 1, donate_argnums=0), array).compiled, size


def measure_copy(size: int, prepared: Any, allowance: float) -> Ceiling:
    """Measures the bytes per second that are read and written."""
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
    """Returns the largest error of a float32 product, relative to its largest entry."""
    left, right = np.random.default_rng(0).standard_normal((2, width, width))
    product = np.asarray(jnp.matmul(left.astype(np.float32), right.astype(np.float32)))
    exact = left.astype(np.float32).astype(np.float64) @ right.astype(np.float32)
    return float(np.abs(product - exact).max() / np.abs(exact).max())


def _median_of_series(series: Any) -> float:
    """Returns the median seconds per call."""
    jax.block_until_ready(series())
    times = []
    for _ in range(SERIES):
        start = time.perf_counter()
        jax.block_until_ready(series())
        times.append((time.perf_counter() - start) / CALLS)
    return statistics.median(times)
