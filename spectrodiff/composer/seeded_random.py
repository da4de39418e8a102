"""Random choices that are identical on every machine and NumPy version."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class SeededRandom:
    """Random number generator with identical results on every machine.

    All methods derive their results from uniform doubles, which are the bits of PCG64. The
    algorithms of NumPy's other distributions may change between versions.

    Args:
        entropy: seed, as one or more integers, each 0 or more.
    """

    def __init__(self, *entropy: int) -> None:
        bits = np.random.PCG64(np.random.SeedSequence(entropy))
        self._random = np.random.Generator(bits).random

    def uniform(self, low: float, high: float) -> float:
        """Returns a number in [low, high)."""
        return low + (high - low) * float(self._random())

    def log_uniform(self, low: float, high: float) -> float:
        """Returns a number in [low, high) with a uniform logarithm; both limits are positive."""
        return low * (high / low) ** float(self._random())

    def integer(self, low: int, high: int) -> int:
        """Returns an integer in low..high, both included."""
        return low + int((high - low + 1) * float(self._random()))

    def chance(self, probability: float) -> bool:
        """Returns True with the given probability."""
        return float(self._random()) < probability

    def choice(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """Returns one of the options, with probabilities proportional to the weights."""
        if weights is None:
            return options[self.integer(0, len(options) - 1)]
        remaining = self.uniform(0, math.fsum(weights))
        for option, weight in zip(options, weights, strict=True):
            remaining -= weight
            if remaining < 0:
                return option
        return options[-1]

    def shuffle(self, options: Sequence[T]) -> list[T]:
        """Returns all options in a random order."""
        shuffled = list(options)
        for last in range(len(shuffled) - 1, 0, -1):
            other = self.integer(0, last)
            shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
        return shuffled
