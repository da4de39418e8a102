"""Endless random batches for training.

Several processes together get the batches that one process would; the number of worker processes
that read recordings changes only the speed.
"""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.core.runtime import kept_from_children
from spectrodiff.data.loading.batches import HostBatch, collate
from spectrodiff.data.loading.examples import Cutter, Example, ExampleFormat
from spectrodiff.data.loading.lengths import Source
from spectrodiff.data.loading.plan import Plan
from spectrodiff.data.prepare.workers import prepare_worker

# More parts of batches than any training needs; grain's numbers must fit 64 bits.
_ENDLESS = 2**60
# Rows of a batch that a worker process reads at once, which bounds its memory (a third of a
# megabyte per row) and the wait for the first batch.
_PART_ROWS = 32
# Batches that are ready before they are asked for.
_BATCHES_AHEAD = 2


class TrainingBatches(Iterator[HostBatch]):
    """Endless batches, of which this process gets its rows.

    `get_state` returns the number of batches taken over all processes, so a run can be resumed with
    another number of processes and sees the same examples.

    Args:
        sources: the corpora.
        example_format: lengths and tokenization of examples.
        batch_size: B, over all processes.
        seed: of the choice of pieces and examples.
        weights: share of each corpus, of any sum; by default those of `mixture_weights`.
        process: number of this process.
        processes: number of processes, each of which gets an equal share of adjacent rows.
        workers: number of further processes that read; 0 to read in a thread of this one.

    Raises:
        CorpusError: if a corpus is empty, or, later, if a worker is killed.
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
        workers: int = 0,
    ) -> None:
        if batch_size < 1 or batch_size % processes:
            expected = f"a positive multiple of the {processes} processes"
            raise ConfigError("batch_size", expected, str(batch_size))
        self._workers = workers
        plan = Plan(sources, example_format, batch_size=batch_size, seed=seed, weights=weights)
        # Adjacent, so that the global batch is the same for any number of processes.
        share = batch_size // processes
        rows = range(share * process, share * (process + 1))
        self._parts = _Parts(sources, example_format, plan, rows)
        self.counts: Counter[str] = Counter()
        self._taken = 0
        self._rest: Any = None

    def __next__(self) -> HostBatch:
        try:
            batch: HostBatch = self._next()
        except RuntimeError as error:
            # grain has no exception of its own.
            if "Worker process" not in str(error):
                raise
            got = "one that was killed, perhaps for want of memory; Data.workers may be too many"
            raise CorpusError("training data", "running worker processes", got) from error
        self._taken += 1
        self.counts["examples"] += len(batch["tokens"])
        for name in ("skipped", "truncated"):
            self.counts[name] += int(batch.pop(name).sum())
        return batch

    def _next(self) -> HostBatch:
        if self._rest is not None:
            return next(self._rest)
        with kept_from_children():  # the first batch starts the workers
            self._rest = self._open()
            return next(self._rest)

    def get_state(self) -> dict[str, int]:
        """Returns the position in the sequence of batches; the same in all processes."""
        return {"batches": self._taken}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues from a position that `get_state` returned."""
        self.close()
        self._taken = int(state["batches"])

    def close(self) -> None:
        """Stops workers and threads; the next batch restarts them."""
        if self._rest is not None:
            self._rest.close()
            self._rest = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> Any:
        import grain
        from absl import flags

        if not flags.FLAGS.is_parsed():
            # grain reads flags of absl, which this project does not use.
            flags.FLAGS.mark_as_parsed()
        per_batch = self._parts.per_batch
        ahead = _BATCHES_AHEAD * per_batch
        parts = (
            grain.MapDataset.range(self._taken * per_batch, _ENDLESS)
            .map(self._parts.__getitem__)
            # Workers are processes, since reading holds Python's lock much of the time.
            .to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
        )
        if self._workers:
            options = grain.MultiprocessingOptions(
                self._workers, per_worker_buffer_size=max(1, -(-ahead // self._workers))
            )
            parts = parts.mp_prefetch(options, _prepare_worker)
        batches = parts.batch(per_batch, batch_fn=_join)
        return iter(
            grain.experimental.ThreadPrefetchIterDataset(
                batches, prefetch_buffer_size=_BATCHES_AHEAD
            )
        )


class _Parts:
    """Endless sequence of parts of batches: part i % n of batch i // n. Can be pickled.

    Args:
        sources: the corpora.
        example_format: lengths and tokenization of examples.
        plan: of all batches.
        rows: rows of each batch that this process gets.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        example_format: ExampleFormat,
        plan: Plan,
        rows: Sequence[int],
    ) -> None:
        self._sources, self._format, self._plan = list(sources), example_format, plan
        self.per_batch = -(-len(rows) // _PART_ROWS)
        self._rows = np.array_split(np.array(rows), self.per_batch)

    def __getitem__(self, number: int) -> HostBatch:
        number, part = divmod(number, self.per_batch)
        batch = self._plan[number]
        examples = [
            self._cut(
                int(batch.corpus[row]),
                int(batch.piece[row]),
                int(batch.target_frame[row]),
                self._plan.generator(number, int(row)),
            )
            for row in self._rows[part]
        ]
        return {
            **collate(examples, batch.length),
            "skipped": np.array([example.skipped for example in examples]),
            "truncated": np.array([example.truncated for example in examples]),
        }

    def _cut(self, corpus: int, piece: int, start: int, rng: np.random.Generator) -> Example:
        return Cutter(self._sources[corpus][piece], self._format).cut_or_replace(start, rng)


def _join(parts: Sequence[HostBatch]) -> HostBatch:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _prepare_worker(number: int, count: int) -> None:
    del number, count
    prepare_worker()
    # Schedulers send it to all processes of a job; the one that trains needs batches until it has
    # agreed with others to stop.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
