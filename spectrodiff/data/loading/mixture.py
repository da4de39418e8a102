"""The endless sequence of random chunks that training batches are made of.

A recording is decompressed as a whole, which takes far longer than cutting a chunk out of it, so
that several chunks are drawn each time. They do not go into one batch: a batch of B has B places,
and the chunks of one reading follow each other in the same place of successive batches. Everything
is a function of seed and number, so that threads, processes and restarts change nothing.
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
from spectrodiff.data.loading.examples import Chunk, Chunking, Cutter
from spectrodiff.data.recordings import Recording

Value = TypeVar("Value")

# Of the weights of corpora in a mixture: less than 1 favours small ones.
MIXTURE_EXPONENT = 0.3


class Source(Protocol):
    """Random access to recordings, such as `spectrodiff.data.source.RecordingSource`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Recording: ...


def mixture_weights(sizes: Sequence[int], exponent: float = MIXTURE_EXPONENT) -> list[float]:
    """Shares in a mixture: (n / sum of all n) ** exponent, scaled to a sum of 1.

    Args:
        sizes: number of recordings of each corpus.
        exponent: 1 draws recordings alike, 0 corpora alike.
    """
    powers = [(size / sum(sizes)) ** exponent for size in sizes]
    return [power / sum(powers) for power in powers]


class RandomChunks:
    """The endless sequence of random chunks that batches are made of, in order.

    Number i is place i % B of batch i // B. Can be sent to other processes.

    Args:
        sources: the corpora.
        chunking: how chunks are cut.
        batch_size: B, over all processes.
        seed: another one gives other recordings and other chunks.
        weights: share of each corpus, of any sum; by default those of `mixture_weights`.
        chunks_per_reading: how many chunks are drawn when a recording is read.
        keep_readings: how many are remembered: at best one for each place that is asked for here,
            and a few for the threads that are ahead.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        chunking: Chunking,
        *,
        batch_size: int,
        seed: int,
        weights: Sequence[float] | None = None,
        chunks_per_reading: int = 16,
        keep_readings: int = 64,
    ) -> None:
        numbers = {"batch_size": batch_size, "chunks_per_reading": chunks_per_reading}
        for name, value in numbers.items():
            if value < 1:
                raise ConfigError(name, "a whole number >= 1", repr(value))
        if seed < 0:
            raise ConfigError("seed", "a whole number >= 0", repr(seed))
        self._sources, self._chunking = list(sources), chunking
        self._batch_size, self._seed = batch_size, seed
        self._chunks_per_reading = chunks_per_reading
        self._order = _mix(self._sources, weights, seed)
        self._read = _Shared(self._draw, keep_readings)

    def __getitem__(self, number: int) -> Chunk:
        reading, chunk = self._reading_of(number)
        return self._read(reading)[chunk]

    def source_of(self, number: int) -> tuple[int, int]:
        """Which corpus chunk `number` comes from, and which of its recordings."""
        return self._order[self._reading_of(number)[0]]

    def _reading_of(self, number: int) -> tuple[int, int]:
        """The reading that chunk `number` belongs to, and which of its chunks that is."""
        batch, place = divmod(number, self._batch_size)
        # Places change their recordings one after the other, so that no batch has to wait for all.
        batch += place * self._chunks_per_reading // self._batch_size
        turn, chunk = divmod(batch, self._chunks_per_reading)
        return turn * self._batch_size + place, chunk

    def _draw(self, reading: int) -> list[Chunk]:
        corpus, index = self._order[reading]
        cutter = Cutter(self._sources[corpus][index], self._chunking)
        rng = np.random.default_rng((self._seed, reading))
        return [cutter.draw(rng) for _ in range(self._chunks_per_reading)]


def _mix(sources: Sequence[Source], weights: Sequence[float] | None, seed: int) -> Any:
    """An endless sequence of (corpus, index of a recording); each corpus in shuffled rounds."""
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
        .map(functools.partial(_labelled, corpus))
        for corpus, (source, own_seed) in enumerate(zip(sources, seeds, strict=True))
    ]
    return grain.MapDataset.mix(corpora, weights)


def _labelled(corpus: int, index: int) -> tuple[int, int]:
    return corpus, index


class _Shared(Generic[Value]):
    """Results of a function, each worked out by one thread for all, the last few remembered."""

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
