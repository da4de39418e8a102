"""Reads `.safetensors` files one array at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.checkpoints.tree import StoredArray
from spectrodiff.core.errors import CheckpointError


def read_safetensors(path: Path) -> dict[str, StoredArray]:
    """Returns the arrays of a file by name.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
    """
    with _open(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    def stored(name: str) -> StoredArray:
        def read() -> np.ndarray:
            # Opened again, since pages read through a memory map stay in memory.
            with _open(path) as file:
                return file.get_tensor(name)

        return StoredArray(shapes[name], read)

    return {name: stored(name) for name in shapes}


def read_metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of a file.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
    """
    with _open(path) as file:
        return dict(file.metadata() or {})


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as file:
            yield file
    except (OSError, TypeError, ValueError, safetensors.SafetensorError) as error:
        got = f"another format or a damaged file ({error})"
        raise CheckpointError(path, "a complete safetensors file of floats", got) from None
