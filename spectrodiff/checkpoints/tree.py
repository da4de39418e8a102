"""Parameter trees: names and shapes, and assembly from arrays in files.

A parameter of stacked layers is one array with a leading axis L. The released layouts have one
entry per layer instead; `assemble` stacks them, one entry at a time, so that a model is never in
memory twice.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from flax import nnx

from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.autoregressive import Autoregressor
from spectrodiff.models.config import ModelConfig, NetworkKind
from spectrodiff.models.definition import Params, Shape, define
from spectrodiff.models.denoiser import Denoiser

FLOATS = frozenset(map(np.dtype, (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)))
MAX_AXES, MAX_AXIS = 8, 1 << 40
NAMES_SHOWN = 3  # names in an error about several parameters
CHARACTERS_SHOWN = 100  # of a name in an error


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """Array in a file: the shape is known, the values are read on demand."""

    shape: Shape
    read: Callable[[], np.ndarray]


def checked_shape(shape: Any) -> Shape:
    """Returns a shape that was read from a file; ValueError if it is invalid."""
    if (
        not isinstance(shape, tuple)
        or len(shape) > MAX_AXES
        or not all(type(size) is int and 0 <= size < MAX_AXIS for size in shape)
    ):
        raise ValueError("an invalid array shape")
    return shape


def shown_name(name: str) -> str:
    """Returns a name that was read from a file for an error: printable, not too long."""
    short = name if len(name) <= CHARACTERS_SHOWN else f"{name[:CHARACTERS_SHOWN]}..."
    return short if short.isprintable() else repr(short)


# Location of a parameter: the name of its entry, or the names of one entry per layer.
Source = str | list[str]


# Network of each kind.
NETWORKS: Mapping[NetworkKind, type[nnx.Module]] = {
    "diffusion": Denoiser,
    "autoregressive": Autoregressor,
}


def expected_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Returns the shape of every parameter by name, the levels of the tree joined by "/"."""
    return define(NETWORKS[config.kind], config).named_shapes


def flatten(params: Params, prefix: str = "") -> dict[str, np.ndarray]:
    """Returns the arrays of a nested dict by name, the levels joined by "/"."""
    flat: dict[str, np.ndarray] = {}
    for name, value in params.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat


def nest(flat: Mapping[str, np.ndarray]) -> Params:
    """Returns the nested dict of arrays named "a/b/c"; the inverse of `flatten`."""
    params: Params = {}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return params


def assemble(
    subject: Path,
    config: ModelConfig,
    sources: Mapping[str, Source],
    stored: Mapping[str, StoredArray],
    *,
    transposed: bool = False,
) -> Params:
    """Reads the parameter tree of a synthesizer; see `assemble_tree`."""
    return assemble_tree(subject, expected_shapes(config), sources, stored, transposed=transposed)


def assemble_tree(
    subject: Path,
    shapes: Mapping[str, Shape],
    sources: Mapping[str, Source],
    stored: Mapping[str, StoredArray],
    *,
    transposed: bool = False,
) -> Params:
    """Reads the parameter tree of a network after checking all names and shapes.

    Beside the parameters, one entry is in memory at a time.

    Args:
        subject: file or folder, for errors.
        shapes: shape of every parameter by name, the levels of the tree joined by "/".
        sources: location of every parameter by name.
        stored: entries of the file by name.
        transposed: True if kernels are stored as [outputs, inputs].

    Returns:
        The nested tree, float32.

    Raises:
        CheckpointError: if an entry is missing, unknown, of the wrong shape or unreadable, or the
            parameters are larger than the memory of this machine.
    """
    check_memory(subject, shapes)
    _check_names(subject, sources, stored)
    _check_shapes(subject, shapes, sources, stored, transposed)
    flat: dict[str, np.ndarray] = {}
    try:
        for name, shape in shapes.items():
            flat[name] = np.empty(shape, np.float32)
            for part, entry in _parts(flat[name], sources[name]):
                values = stored[entry].read()
                if values.dtype.newbyteorder("=") not in FLOATS:
                    raise CheckpointError(subject, f"{entry} as floats", str(values.dtype))
                part[...] = values.T if transposed and name.endswith("kernel") else values
    except MemoryError:
        raise _too_large(subject, shapes) from None
    return nest(flat)


def take_apart(
    params: Params, sources: Mapping[str, Source], *, transposed: bool = False
) -> dict[str, np.ndarray]:
    """Returns the arrays of a parameter tree by the names of their entries in a file.

    The inverse of `assemble_tree`. The arrays are views of the parameters.

    Args:
        params: nested dict of arrays.
        sources: location of every parameter by name.
        transposed: True if kernels are stored as [outputs, inputs].
    """
    entries: dict[str, np.ndarray] = {}
    for name, values in flatten(params).items():
        for part, entry in _parts(np.asarray(values), sources[name]):
            entries[entry] = part.T if transposed and name.endswith("kernel") else part
    return entries


def check_memory(subject: Path, shapes: Mapping[str, Shape]) -> None:
    """Checks that the parameters fit into the memory of the machine, where it says its size.

    Most systems hand out more than they have, and end the process when it is used.

    Args:
        subject: file or folder, for errors.
        shapes: shape of every parameter by name.

    Raises:
        CheckpointError: if they do not.
    """
    try:
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    weight_bytes = _count(shapes) * np.dtype(np.float32).itemsize
    if min(pages, page_bytes) > 0 and weight_bytes > pages * page_bytes:  # -1 if it is unknown
        raise _too_large(subject, shapes)


def _too_large(subject: Path, shapes: Mapping[str, Shape]) -> CheckpointError:
    return CheckpointError(
        subject, "a model that fits in memory", f"{_count(shapes):,} float32 parameters"
    )


def _count(shapes: Mapping[str, Shape]) -> int:
    return sum(map(math.prod, shapes.values()))


def _check_names(
    subject: Path, sources: Mapping[str, Source], stored: Mapping[str, StoredArray]
) -> None:
    wanted = {entry for source in sources.values() for entry in _entries(source)}
    if missing := sorted(wanted - stored.keys()):
        raise CheckpointError(subject, f"{len(wanted)} parameters", f"no {_some(missing)}")
    if extra := sorted(stored.keys() - wanted):
        raise CheckpointError(
            subject, f"{len(wanted)} parameters and no others", f"also {_some(extra)}"
        )


def _check_shapes(
    subject: Path,
    shapes: Mapping[str, Shape],
    sources: Mapping[str, Source],
    stored: Mapping[str, StoredArray],
    transposed: bool,
) -> None:
    wrong: list[tuple[str, Shape]] = []
    for name, shape in shapes.items():
        wanted = shape if isinstance(sources[name], str) else shape[1:]
        if transposed and name.endswith("kernel"):
            wanted = wanted[::-1]
        entries = _entries(sources[name])
        wrong += [(entry, wanted) for entry in entries if stored[entry].shape != wanted]
    if wrong:
        entry, wanted = wrong[0]
        more = f", and {len(wrong) - 1} more of another shape" if len(wrong) > 1 else ""
        raise CheckpointError(
            subject, f"{entry} of shape {wanted}", f"shape {stored[entry].shape}{more}"
        )


def _parts(target: np.ndarray, source: Source) -> Iterable[tuple[np.ndarray, str]]:
    return [(target, source)] if isinstance(source, str) else zip(target, source, strict=True)


def _entries(source: Source) -> list[str]:
    return [source] if isinstance(source, str) else source


def _some(names: list[str]) -> str:
    shown = ", ".join(map(shown_name, names[:NAMES_SHOWN]))
    return shown if len(names) <= NAMES_SHOWN else f"{shown}, ... ({len(names)} in all)"
