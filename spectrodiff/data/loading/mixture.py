"""Mixture of corpora: which piece each draw of an endless sequence takes.

The sequence is cut into windows. A corpus has its share of each window up to rounding, at random
places, and its pieces come in shuffled rounds. A window is a function of the seed and its number,
so that any position of the sequence can be reached at once.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spectrodiff.core.errors import ConfigError, CorpusError

# Exponent of corpus sizes in a mixture; below 1, small corpora are favored.
MIXTURE_EXPONENT = 0.3

# Purposes of random numbers.
OFFSETS, ROUNDS, ORDER, STARTS, REPLACEMENTS = range(1, 6)


def seeded(purpose: int, seed: int, *numbers: int) -> np.random.Generator:
    """Returns a generator for one purpose, and one window or example."""
    return np.random.default_rng((purpose, seed, *numbers))


def mixture_weights(sizes: Sequence[int], exponent: float = MIXTURE_EXPONENT) -> list[float]:
    """Returns the shares in a mixture: (n / sum of all n) ** exponent, scaled to a sum of 1.

    Args:
        sizes: number of pieces of each corpus.
        exponent: with 1 all pieces are equally likely, with 0 all corpora.
    """
    powers = [(size / sum(sizes)) ** exponent for size in sizes]
    return [power / sum(powers) for power in powers]


class Draws(NamedTuple):
    """Pieces that are drawn."""

    corpus: np.ndarray  # number of the corpus, int64 [draws]
    piece: np.ndarray  # number of its piece, int64 [draws]


class Mixture:
    """Endless sequence of draws, in windows.

    Args:
        sizes: number of pieces of each corpus.
        window: number of draws in a window; the square of the number of corpora, or more.
        seed: of all random choices.
        weights: share of each corpus, of any sum; by default those of `mixture_weights`.

    Attributes:
        weights: share of each corpus, of sum 1, float64 [corpora].

    Raises:
        CorpusError: if a corpus is empty, or there is none.
        ConfigError: if the seed is negative, or the weights do not fit the corpora.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        window: int,
        seed: int,
        weights: Sequence[float] | None = None,
    ) -> None:
        if not sizes or not all(sizes):
            raise CorpusError("training data", "recordings in every corpus", "none")
        if seed < 0:
            raise ConfigError("seed", "a whole number >= 0", repr(seed))
        if weights is None:
            weights = mixture_weights(sizes)
        good = [math.isfinite(weight) and weight > 0 for weight in weights]
        if len(good) != len(sizes) or not all(good):
            expected = f"{len(sizes)} positive numbers, one for each corpus"
            raise ConfigError("weights", expected, repr(list(weights)))
        self._sizes, self._window, self._seed = list(sizes), window, seed
        self.weights = np.array(weights) / sum(weights)
        self._quotas = window * self.weights
        self._offsets = seeded(OFFSETS, seed).random(len(sizes))

    def draws(self, number: int) -> Draws:
        """Returns the draws of a window, in random order."""
        before, after = self._drawn_before(number), self._drawn_before(number + 1)
        pieces = [
            self._pieces(corpus, int(first), int(end))
            for corpus, (first, end) in enumerate(zip(before, after, strict=True))
        ]
        corpus = np.repeat(np.arange(len(pieces)), [len(part) for part in pieces])
        order = seeded(ORDER, self._seed, number).permutation(self._window)
        return Draws(corpus[order], np.concatenate(pieces)[order])

    def _drawn_before(self, number: int) -> np.ndarray:
        """Returns how often each corpus is drawn in all windows before one."""
        # Rounded at random, so that rare corpora do not all come in the same windows; the largest
        # corpus takes what is left.
        drawn = np.floor(number * self._quotas + self._offsets).astype(np.int64)
        largest = int(np.argmax(self._quotas))
        drawn[largest] = number * self._window - (drawn.sum() - drawn[largest])
        return drawn

    def _pieces(self, corpus: int, first: int, end: int) -> np.ndarray:
        """Returns the pieces of draws first to end of a corpus, in shuffled rounds."""
        size = self._sizes[corpus]
        rounds = range(first // size, -(-end // size))
        orders = (_shuffled(self._seed, corpus, number, size) for number in rounds)
        pieces = np.concatenate([np.zeros(0, np.int64), *orders])
        return pieces[first - first // size * size :][: end - first]


@functools.lru_cache(maxsize=64)
def _shuffled(seed: int, corpus: int, number: int, size: int) -> np.ndarray:
    """Returns the order of the pieces of a corpus in one of its rounds."""
    return seeded(ROUNDS, seed, corpus, number).permutation(size)
