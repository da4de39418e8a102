"""Placement of parameters on devices, in the precision they are used in."""

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from spectrodiff.core.errors import ConfigError
from spectrodiff.models.definition import Params

# Float32 at any precision: norms and the output are computed in it (T5.1.1 practice).
_FULL_PRECISION = {"scale", "output", "positions"}


def compute_type(precision: str) -> type:
    """Returns the type of the matrix products of a precision.

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
        sharding: of every array.
        precision: "float32", or "bfloat16" for the matrices.
        consume: empty `params` on the way, so that a large model is never in memory twice.
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
