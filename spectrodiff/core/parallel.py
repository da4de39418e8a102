"""Placement of arrays on devices: one mesh with the axis `data`, and shardings over it.

A batch is split over `data`. Parameters and arrays shaped like them are either replicated, or split
over `data`, each along its largest axis that is divisible by the number of devices.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

# Partition of the leading axis, of the second axis (after the stacked layers), and of no axis.
BATCH, LAYERED_BATCH, WHOLE = PartitionSpec("data"), PartitionSpec(None, "data"), PartitionSpec()

# Smaller arrays (norm scales) are replicated: gathering them would cost more than it saves.
MIN_SPLIT_ELEMENTS = 4096


def make_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """Returns a mesh of the devices with the single axis `data`."""
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that replicates an array on every device."""
    return NamedSharding(mesh, WHOLE)


def batch_split(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that splits the leading axis over the devices."""
    return NamedSharding(mesh, BATCH)


def state_shardings(abstract: Any, mesh: Mesh, *, split: bool) -> Any:
    """Returns the shardings for a tree of arrays or shapes.

    Args:
        abstract: pytree whose leaves have a shape.
        mesh: the devices.
        split: True splits divisible arrays over the devices, False replicates all.
    """

    def leaf(array: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        return NamedSharding(mesh, _split_spec(array.shape, mesh.size) if split else WHOLE)

    return jax.tree.map(leaf, abstract)


def shardings_of(tree: Any) -> Any:
    """Returns the shardings of a tree of arrays."""
    return jax.tree.map(lambda array: array.sharding, tree)


def to_devices(arrays: Any, mesh: Mesh) -> Any:
    """Creates global arrays, split over the devices, from each process's part of the batch."""
    sharding = batch_split(mesh)
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(sharding, np.asarray(array)), arrays
    )


def to_host(tree: Any, mesh: Mesh) -> Any:
    """Copies arrays from all devices to the host; a collective call."""
    if not all(leaf.is_fully_replicated for leaf in jax.tree.leaves(tree)):
        tree = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree)
    return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)


def _split_spec(shape: tuple[int, ...], devices: int) -> PartitionSpec:
    divisible = [axis for axis, size in enumerate(shape) if size % devices == 0]
    if devices == 1 or not divisible or np.prod(shape) < MIN_SPLIT_ELEMENTS:
        return WHOLE
    # The last of equally long axes: in stacked layers the first axis is scanned over.
    longest = max(divisible, key=lambda axis: (shape[axis], axis))
    return PartitionSpec(*(None,) * longest, "data")
