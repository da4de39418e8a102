"""Endless sequence of random examples, which training batches are made of.

Reading a recording decompresses all of it and takes far longer than cutting an example out of it,
so several examples are drawn per reading. They do not share a batch: a batch of B has B places, and
the examples of one reading follow each other in one place of successive batches. Every example is a
function of the seed and its number, so threads, processes and restarts change nothing.
"""

import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.loading.examples import Cutter, Example, ExampleFormat
from spectrodiff.data.recordings import Recording

Value = TypeVar("Value")

# Exponent of corpus sizes in a mixture; below 1, small corpora are favored.
MIXTURE_EXPONENT = 0.3


class Source(Protocol):
    """Random access to recordings, such as `spectrodiff.data.source.RecordingSource`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Recording: ...


def mixture_weights(sizes: Sequence[int], exponent: float = MIXTURE_EXPONENT) -> list[float]:
    """Returns the shares in a mixture: (n / sum of all n) ** exponent, scaled to a sum of 1.

    Args:
        sizes: number of recordings of each corpus.
        exponent: with 1 all recordings are equally likely, with 0 all corpora.
    """
    powers = [(size / sum(sizes)) ** exponent for size in sizes]
    return [power / sum(powers) for power in powers]


class RandomExamples:
    """Endless sequence of random examples, in the order of batches.

    Example i is place i % B of batch i // B. Can be pickled.

    Args:
        sources: the corpora.
        example_format: how examples are cut.
        batch_size: B, over all processes.
        seed: of the choice of recordings and examples.
        weights: share of each corpus, of any sum; by default those of `mixture_weights`.
        examples_per_reading: examples drawn each time a recording is read.
        keep_readings: number of readings to cache: best one for each place that this process asks
            for, and a few for threads that are ahead.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        example_format: ExampleFormat,
        *,
        batch_size: int,
        seed: int,
        weights: Sequence[float] | None = None,
        examples_per_reading: int = 16,
        keep_readings: int = 64,
    ) -> None:
        numbers = {"batch_size": batch_size, "examples_per_reading": examples_per_reading}
        for name, value in numbers.items():
            if value < 1:
                raise ConfigError(name, "a whole number >= 1", repr(value))
        if seed < 0:
            raise ConfigError("seed", "a whole number >= 0", repr(seed))
        self._sources, self._format = list(sources), example_format
        self._batch_size, self._seed = batch_size, seed
        self._examples_per_reading = examples_per_reading
        self._order = _mix(self._sources, weights, seed)
        self._read = _Shared(self._draw, keep_readings)

    def __getitem__(self, number: int) -> Example:
        reading, example = self._reading_of(number)
        return self._read(reading)[example]

    def _reading_of(self, number: int) -> tuple[int, int]:
        """Returns the reading that example `number` belongs to, and its number within it."""
        batch, place = divmod(number, self._batch_size)
        # Places change recordings in turn, so that no batch waits for all of them.
        batch += place * self._examples_per_reading // self._batch_size
        turn, example = divmod(batch, self._examples_per_reading)
        return turn * self._batch_size + place, example

    def _draw(self, reading: int) -> list[Example]:
        corpus, index = self._order[reading]
        cutter = Cutter(self._sources[corpus][index], self._format)
        rng = np.random.default_rng((self._seed, reading))
        return [cutter.draw(rng) for _ in range(self._examples_per_reading)]


def _mix(sources: Sequence[Source], weights: Sequence[float] | None, seed: int) -> Any:
    """Returns an endless sequence of (corpus, recording); each corpus in shuffled rounds."""
    import grain

    if not sources or not all(len(source) for source in sources):
        raise CorpusError("training data", "recordings in every corpus", "none")
    if weights is None:
        weights = mixture_weights([len(source) for source in sources])
    good = [math.isfinite(weight) and weight > 0 for weight in weights]
    if len(good) != len(sources) or not all(good):
        expected = f"{len(sources)} positive numbers, one for each corpus"
        raise ConfigError("weights", expected, repr(list(weights)))
    seeds = np.random.SeedSequence(seed).generate_state(len(sources))
    corpora = [
        grain.MapDataset.range(len(source))
        .seed(int(own_seed))
        .shuffle()
        .repeat()
        .map(functools.partial(_labeled, corpus))
        for corpus, (source, own_seed) in enumerate(zip(sources, seeds, strict=True))
    ]
    return grain.MapDataset.mix(corpora, weights)


def _labeled(corpus: int, index: int) -> tuple[int, int]:
    return corpus, index


class _Shared(Generic[Value]):
    """Cache of the last results of a function; one thread computes each for all."""

    def __init__(self, function: Callable[[int], Value], capacity: int) -> None:
        self._function, self._capacity = function, capacity
        self._results: OrderedDict[int, Future[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, key: int) -> Value:
        with self._lock:
            result = self._results.get(key)
            if mine := result is None:
                result = self._results[key] = Future()
            self._results.move_to_end(key)
            while len(self._results) > self._capacity:
                self._results.popitem(last=False)
        if mine:
            try:
                result.set_result(self._function(key))
            except BaseException as error:
                result.set_exception(error)
        return result.result()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Shared, (self._function, self._capacity)
