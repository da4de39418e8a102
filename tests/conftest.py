"""Strict numerics for every test: shapes are broadcast on purpose or not at all."""

from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
# Goldens were computed at the highest precision; on a CPU this changes nothing, elsewhere it does.
jax.config.update("jax_default_matmul_precision", "highest")
# What runs on many devices is tested on many, though they share a processor.
jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference arrays."""
    return Path(__file__).parent / "golden"
