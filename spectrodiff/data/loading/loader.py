"""Endless random batches for training.

Several processes together get the batches that one process would; the number of threads changes
only the speed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self

from spectrodiff.core.errors import ConfigError
from spectrodiff.data.loading.batches import HostBatch, collate
from spectrodiff.data.loading.examples import Example, ExampleFormat
from spectrodiff.data.loading.mixture import RandomExamples, Source

# More examples than any training needs; grain's numbers must fit 64 bits.
_ENDLESS = 2**60


class TrainingBatches(Iterator[HostBatch]):
    """Endless batches, of which this process gets its rows.

    `get_state` returns the number of batches taken over all processes, so a run can be resumed with
    another number of processes and sees the same examples.

    Args:
        sources: the corpora.
        example_format: lengths and tokenization of examples.
        batch_size: B, over all processes.
        seed: of the choice of recordings and examples.
        weights: share of each corpus, of any sum; by default those of `mixture_weights`.
        process: number of this process, which gets every `processes`-th row of a batch.
        processes: number of processes that share a batch.
        threads: number of threads that read recordings; 0 to read in the calling thread.
        examples_per_reading: examples drawn each time a recording is read; each row of a batch
            keeps that many in memory, a third of a megabyte each.

    Raises:
        CorpusError: if a corpus is empty.
        ConfigError: if a number is impossible, or a batch cannot be divided.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        example_format: ExampleFormat,
        *,
        batch_size: int,
        seed: int,
        weights: Sequence[float] | None = None,
        process: int = 0,
        processes: int = 1,
        threads: int = 8,
        examples_per_reading: int = 16,
    ) -> None:
        self._rows = _share(batch_size, processes)
        self._batch_size, self._process, self._processes = batch_size, process, processes
        self._max_tokens, self._threads = example_format.max_tokens, threads
        self._examples = RandomExamples(
            sources,
            example_format,
            batch_size=batch_size,
            seed=seed,
            weights=weights,
            examples_per_reading=examples_per_reading,
            # One for each row, and a few for threads that are ahead.
            keep_readings=self._rows + 2 * threads,
        )
        self.counts: Counter[str] = Counter()
        self._taken = 0
        self._rest: Any = None

    def __next__(self) -> HostBatch:
        if self._rest is None:
            self._rest = self._open()
        examples, batch = next(self._rest)
        self._taken += 1
        self.counts["examples"] += len(examples)
        self.counts["skipped"] += sum(example.skipped for example in examples)
        self.counts["truncated"] += sum(example.truncated for example in examples)
        return batch

    def get_state(self) -> dict[str, int]:
        """Returns the position in the sequence of batches; the same in all processes."""
        return {"batches": self._taken}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues from a position that `get_state` returned."""
        self.close()
        self._taken = int(state["batches"])

    def close(self) -> None:
        """Stops the threads; the next batch restarts them."""
        if self._rest is not None:
            self._rest.close()
            self._rest = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> Any:
        import grain

        first = self._taken * self._batch_size + self._process
        options = grain.ReadOptions(self._threads, max(self._rows, self._threads))
        batches = (
            grain.MapDataset.range(first, _ENDLESS, self._processes)
            .map(self._examples.__getitem__)
            .to_iter_dataset(options)
            .batch(self._rows, batch_fn=self._collate)
        )
        return iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=1))

    def _collate(self, examples: Sequence[Example]) -> tuple[Sequence[Example], HostBatch]:
        return examples, collate(examples, self._max_tokens)


def _share(batch_size: int, processes: int) -> int:
    """Returns the number of rows of a batch that each process gets."""
    if batch_size < 1 or batch_size % processes:
        expected = f"a positive multiple of the {processes} processes"
        raise ConfigError("batch_size", expected, str(batch_size))
    return batch_size // processes
