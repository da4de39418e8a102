"""Running a compiled function over recordings of any length."""

from collections.abc import Callable

import jax
import numpy as np


def map_pieces(
    function: Callable[[np.ndarray], jax.Array],
    audio: np.ndarray,
    *,
    count: int,
    at_once: int,
    hop_samples: int,
    overhang_samples: int,
) -> np.ndarray:
    """Applies a function of a fixed number of samples piece by piece.

    All pieces have one length, so that one program is compiled, and memory does not grow with the
    recording; what is missing at the end is zeros.

    Args:
        function: samples float32 [at_once * hop + overhang] -> [at_once, ...], where row i depends
            on the samples from i * hop on, hop + overhang of them.
        audio: float32 [samples].
        count: how many rows there are in all, at least one.
        at_once: how many rows a piece has.
        hop_samples: distance between the beginnings of rows.
        overhang_samples: how far a row reaches into what follows it.

    Returns:
        [count, ...]
    """
    size = at_once * hop_samples + overhang_samples
    rows = []
    for first in range(0, count, at_once):
        piece = audio[first * hop_samples :][:size]
        rows.append(np.asarray(function(np.pad(piece, (0, size - len(piece))))))
    return np.concatenate(rows)[:count]
