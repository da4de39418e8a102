"""Application of a compiled function to recordings of any length, block by block."""

from collections.abc import Callable

import jax
import numpy as np


def map_blocks(
    function: Callable[[np.ndarray], jax.Array],
    audio: np.ndarray,
    *,
    num_rows: int,
    block_rows: int,
    hop_samples: int,
    overhang_samples: int,
) -> np.ndarray:
    """Applies a function of a fixed number of samples to one block of a recording after another.

    All blocks have one length, so only one program is compiled, and memory does not grow with the
    recording. The last block is padded with zeros.

    Args:
        function: samples float32 [block_rows * hop + overhang] -> [block_rows, ...]; row i depends
            on samples i * hop to (i + 1) * hop + overhang only.
        audio: float32 [samples].
        num_rows: number of rows of the result, at least 1.
        block_rows: number of rows per call of the function.
        hop_samples: distance between the first samples of neighboring rows.
        overhang_samples: number of samples by which a row reaches into the following rows.

    Returns:
        [num_rows, ...]
    """
    size = block_rows * hop_samples + overhang_samples
    rows = []
    for first in range(0, num_rows, block_rows):
        block = audio[first * hop_samples :][:size]
        rows.append(np.asarray(function(np.pad(block, (0, size - len(block))))))
    return np.concatenate(rows)[:num_rows]
