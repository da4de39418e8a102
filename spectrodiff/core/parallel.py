"""Placement of arrays on devices: one mesh with the axis `data`, and shardings over it.

A batch is split over `data`. Parameters and arrays shaped like them are either replicated, or split
over `data` by the names of their axes. Split parameters are gathered where they are used: those of
a stack layer by layer, forward and backward (`use_whole`), all others at the start (`gathered`).
Activations are never split along anything but the batch.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

KeyPath = tuple[Any, ...]  # of an array in its tree, as `jax.tree_util` has it
Shaped = jax.Array | np.ndarray | jax.ShapeDtypeStruct

# Mesh axis that the axes of arrays are split over, by their names.
MESH_AXES = {
    "batch": "data",
    "vocabulary": "data",
    "positions": "data",
    "mels": "data",
    "width": "data",
    "heads": "data",
    "mlp": "data",
    "time": "data",
    "films": "data",
    "bins": "data",
    "inputs": "data",
    "outputs": "data",
}
# Names of the last axes of parameters, by the end of their paths, of which the longest counts. Axes
# before these (stacked layers, taps of a convolution) and other parameters are not split. An array
# is split along the first of its named axes that divides.
PARAMETER_AXES = {
    "embedding": ("vocabulary", "width"),
    "positions": ("positions", "width"),
    "trained_positions": ("positions", "width"),
    "input/kernel": ("mels", "width"),
    "output/kernel": ("width", "mels"),
    "query/kernel": ("width", "heads"),
    "key/kernel": ("width", "heads"),
    "value/kernel": ("width", "heads"),
    "out/kernel": ("heads", "width"),
    "gate/kernel": ("width", "mlp"),
    "up/kernel": ("width", "mlp"),
    "down/kernel": ("mlp", "width"),
    "time/in/kernel": ("width", "time"),
    "time/out/kernel": ("time", "time"),
    "self_attention_film/kernel": ("time", "films"),
    "mlp_film/kernel": ("time", "films"),
    "kernel": ("inputs", "outputs"),
    "own": ("bins", "inputs", "outputs"),
}
# Smaller parameters, per layer, are replicated: gathering them would cost more than it saves.
MIN_SPLIT_ELEMENTS = 4096
STACK = "layers"  # name of stacked layers, whose parameters are gathered layer by layer

DATA = MESH_AXES["batch"]
# Partition of the leading axis, of the second axis (after the stacked layers), and of no axis.
BATCH, LAYERED_BATCH, WHOLE = PartitionSpec(DATA), PartitionSpec(None, DATA), PartitionSpec()


def make_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """Returns a mesh of the devices with the single axis `data`."""
    return jax.make_mesh((len(devices),), (DATA,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that replicates an array on every device."""
    return NamedSharding(mesh, WHOLE)


def batch_split(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that splits the leading axis over the devices."""
    return NamedSharding(mesh, BATCH)


def parameter_shardings(params: Any, mesh: Mesh, *, split: bool) -> Any:
    """Returns the shardings of a tree of parameters, as the tables say.

    Args:
        params: nested dicts of arrays or shapes.
        mesh: the devices.
        split: True splits divisible arrays over the devices, False replicates all.
    """

    def leaf(path: KeyPath, array: Shaped) -> NamedSharding:
        return NamedSharding(mesh, _partition(path, array.shape, mesh.shape) if split else WHOLE)

    return jax.tree_util.tree_map_with_path(leaf, params)


def shardings_like(tree: Any, params: Any, shardings: Any, mesh: Mesh) -> Any:
    """Returns the shardings of a tree that has arrays for some of the parameters.

    An array whose path ends with that of a parameter is split like it, also if it lacks one of the
    parameter's axes, as Adafactor's means over rows and columns do. All others are replicated.

    Args:
        tree: state of an optimizer or average of parameters: arrays or shapes.
        params: the parameters, or their shapes.
        shardings: of the parameters.
        mesh: the devices.
    """
    known = {
        path: (array.shape, sharding.spec)
        for (path, array), sharding in zip(
            jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(shardings), strict=True
        )
    }

    def leaf(path: KeyPath, array: Shaped) -> NamedSharding:
        ends = (known.get(path[start:]) for start in range(len(path)))
        shape, spec = next((found for found in ends if found), ((), WHOLE))
        return NamedSharding(mesh, _without_missing(spec, shape, array.shape))

    return jax.tree_util.tree_map_with_path(leaf, tree)


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


@contextlib.contextmanager
def traced_for(mesh: Mesh) -> Iterator[None]:
    """Tells functions traced in the block the devices that batches and parameters are split over.

    `use_whole` and `per_device` need it. With one device there is nothing to tell.
    """
    if mesh.size == 1:
        yield
        return
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        yield


def gathered(params: Any, shardings: Any) -> Any:
    """Returns parameters whose gradients are split like them; all but those of stacks are whole.

    Args:
        params: nested dicts of arrays.
        shardings: of the parameters; those that are replicated are returned as they are.
    """

    def leaf(path: KeyPath, array: jax.Array, sharding: NamedSharding) -> jax.Array:
        if sharding.is_fully_replicated:
            return array
        array = jax.lax.with_sharding_constraint(array, sharding)
        if any(entry.key == STACK for entry in path):
            return array
        return jax.lax.with_sharding_constraint(array, NamedSharding(sharding.mesh, WHOLE))

    return jax.tree_util.tree_map_with_path(leaf, params, shardings)


def use_whole(
    function: Callable[[jax.Array, jax.Array], jax.Array],
    param: jax.Array,
    x: jax.Array,
    dtype: DTypeLike,
) -> jax.Array:
    """Returns `function(param, x)` for the whole of a parameter, which may be split.

    It is gathered again in the backward pass: kept for it, the parameters of all layers would take
    the memory that splitting them saves.

    Args:
        function: of two arrays of one type.
        param: a parameter, converted to the type; outside of `traced_for` that is all.
        x: another array, converted as well.
        dtype: the type.
    """
    x = x.astype(dtype)
    if _traced_mesh() is None:
        return function(param.astype(dtype), x)

    def gather_and_use(param: jax.Array, x: jax.Array) -> jax.Array:
        # The first constraint leaves it split: without, it would be gathered before conversion.
        split = PartitionSpec(*(PartitionSpec.UNCONSTRAINED,) * param.ndim)
        param = jax.lax.with_sharding_constraint(param.astype(dtype), split)
        return function(jax.lax.with_sharding_constraint(param, WHOLE), x)

    # Forward and backward pass are different loops, across which nothing can be merged.
    result: jax.Array = jax.checkpoint(gather_and_use, prevent_cse=False)(param, x)
    return result


def per_device(function: Callable[[jax.Array], jax.Array], batch: jax.Array) -> jax.Array:
    """Returns `function(batch)`, computed by each device for its own examples.

    For Fourier transforms, for which XLA would gather the whole batch.

    Args:
        function: of examples, one by one, along the leading axis.
        batch: outside of `traced_for`, the function is just called.
    """
    mesh = _traced_mesh()
    if mesh is None or len(batch) % mesh.shape[DATA]:
        return function(batch)
    result: jax.Array = jax.shard_map(function, in_specs=BATCH, out_specs=BATCH)(batch)
    return result


def _traced_mesh() -> AbstractMesh | None:
    mesh = jax.sharding.get_abstract_mesh()
    # Inside `shard_map`, arrays are those of one device.
    return mesh if DATA in mesh.axis_names and mesh.are_all_axes_auto else None


def _partition(path: KeyPath, shape: tuple[int, ...], mesh: Mapping[str, int]) -> PartitionSpec:
    """Returns the partition of a parameter, given the sizes of the mesh's axes."""
    names = [entry.key for entry in path]
    ends = ("/".join(names[start:]) for start in range(len(names)))
    axes = next((PARAMETER_AXES[end] for end in ends if end in PARAMETER_AXES), ())
    if math.prod(shape[len(shape) - len(axes) :]) < MIN_SPLIT_ELEMENTS:
        return WHOLE
    for place, axis in enumerate(axes, len(shape) - len(axes)):
        over = MESH_AXES[axis]
        if mesh[over] > 1 and shape[place] % mesh[over] == 0:
            return PartitionSpec(*(None,) * place, over)
    return WHOLE


def _without_missing(
    spec: PartitionSpec, whole: tuple[int, ...], shape: tuple[int, ...]
) -> PartitionSpec:
    """Returns a parameter's partition for an array of its shape, or that lacks one of its axes."""
    if shape == whole:
        return spec
    for axis in range(len(whole)):
        if (*whole[:axis], *whole[axis + 1 :]) == shape:
            return PartitionSpec(*spec[:axis], *spec[axis + 1 :])
    return WHOLE
