"""Putting parameters where they are computed with, in the precision they are computed in."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from spectrodiff.core.errors import ConfigError

Params = dict[str, Any]

# Kept in float32 whatever the precision: norms and the output are computed in it (T5.1.1 practice).
_FULL_PRECISION = {"scale", "output", "positions"}


def compute_type(precision: str) -> type:
    """The type of matrix products that a precision stands for.

    Raises:
        ConfigError: if it is neither "float32" nor "bfloat16".
    """
    types = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
    if precision not in types:
        raise ConfigError("precision", "'float32' or 'bfloat16'", repr(precision))
    return types[precision]


def place(params: Params, sharding: Sharding, precision: str, *, consume: bool = False) -> Params:
    """Copies parameters to devices; arrays already in place are used as they are.

    Args:
        params: nested dict of arrays.
        sharding: where to.
        precision: "float32", or "bfloat16" for the matrices.
        consume: empty `params`, so that a large model is never held twice.
    """
    dtype = compute_type(precision)
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    if consume:
        params.clear()
    placed = []
    leaves.reverse()
    while leaves:
        path, array = leaves.pop()
        if dtype != jnp.float32 and _FULL_PRECISION.isdisjoint(entry.key for entry in path):
            array = array.astype(dtype)
        placed.append(jax.device_put(array, sharding))
    return jax.tree_util.tree_unflatten(structure, placed)
