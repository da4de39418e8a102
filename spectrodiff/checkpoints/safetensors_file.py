"""Reads `.safetensors` files one array at a time."""

from pathlib import Path

import numpy as np

from spectrodiff.checkpoints.tree import StoredArray
from spectrodiff.errors import CheckpointError


def read_safetensors(path: Path) -> dict[str, StoredArray]:
    """Returns the arrays of a file by name.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
    """
    import safetensors

    try:
        # The file stays open (mapped into memory) for as long as an array can be asked for.
        file = safetensors.safe_open(path, framework="np")
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(path, "a whole safetensors file", str(error)) from None

    def stored(name: str) -> StoredArray:
        def read() -> np.ndarray:
            try:
                return file.get_tensor(name)
            except (safetensors.SafetensorError, TypeError, ValueError) as error:
                raise CheckpointError(path, f"{name!r} as floats", str(error)) from None

        return StoredArray(tuple(file.get_slice(name).get_shape()), read)

    return {name: stored(name) for name in file.keys()}  # noqa: SIM118
