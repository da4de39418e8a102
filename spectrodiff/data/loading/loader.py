"""Batches for training, endless and random.

All processes together see what one process would; threads change how fast it goes, nothing else.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Self

from spectrodiff.core.errors import ConfigError
from spectrodiff.data.loading.batches import Batch, collate
from spectrodiff.data.loading.examples import Chunk, Chunking
from spectrodiff.data.loading.mixture import RandomChunks, Source

# Enough chunks for any training; what grain numbers must fit 64 bits.
_ENDLESS = 2**60
_POSITION_FILE = "position.json"


class TrainingBatches(Iterator[Batch]):
    """Endless batches; this process's share of each.

    An Orbax checkpointable: what is saved is how many batches were taken, so that a run can go on
    with another number of processes and all of them together see what one would have seen.

    Args:
        sources: the corpora.
        chunking: how chunks are cut.
        batch_size: B, over all processes.
        seed: another one gives other recordings and other chunks.
        weights: share of each corpus, of any sum; by default those of `mixture_weights`.
        process: the number of this process, which gets every `processes`-th row of a batch.
        processes: how many share a batch.
        threads: how many read recordings; 0 for none but the caller's.
        chunks_per_reading: how many chunks are drawn when a recording is read; each row of a batch
            keeps so many in memory, of a third of a megabyte.

    Raises:
        CorpusError: if a corpus is empty.
        ConfigError: if a number is impossible, or a batch cannot be divided.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        chunking: Chunking,
        *,
        batch_size: int,
        seed: int,
        weights: Sequence[float] | None = None,
        process: int = 0,
        processes: int = 1,
        threads: int = 8,
        chunks_per_reading: int = 16,
    ) -> None:
        self._rows = _share(batch_size, processes)
        self._batch_size, self._process, self._processes = batch_size, process, processes
        self._max_tokens, self._threads = chunking.max_tokens, threads
        self.chunks = RandomChunks(
            sources,
            chunking,
            batch_size=batch_size,
            seed=seed,
            weights=weights,
            chunks_per_reading=chunks_per_reading,
            # Each place needs its own; a few threads may already be at the next ones.
            keep_readings=self._rows + 2 * threads,
        )
        self.counts: Counter[str] = Counter()
        self._taken = 0
        self._rest: Any = None

    def __next__(self) -> Batch:
        if self._rest is None:
            self._rest = self._open()
        chunks, batch = next(self._rest)
        self._taken += 1
        self.counts["examples"] += len(chunks)
        self.counts["skipped"] += sum(chunk.skipped for chunk in chunks)
        self.counts["truncated"] += sum(chunk.truncated for chunk in chunks)
        return batch

    def get_state(self) -> dict[str, int]:
        """How far this is; the same in all processes."""
        return {"batches": self._taken}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes on from where `get_state` was called."""
        self.close()
        self._taken = int(state["batches"])

    async def save(self, directory: Any) -> Awaitable[None]:
        """Orbax calls this to save the position."""
        state = json.dumps(self.get_state())

        async def write() -> None:
            folder = await directory.await_creation()
            if self._process == 0:
                (folder / _POSITION_FILE).write_text(state)

        return write()

    async def load(self, directory: Any) -> Awaitable[None]:
        """Orbax calls this to restore the position."""

        async def read() -> None:
            self.set_state(json.loads((directory / _POSITION_FILE).read_text()))

        return read()

    def close(self) -> None:
        """Stops the threads; the next batch starts them again."""
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
            .map(self.chunks.__getitem__)
            .to_iter_dataset(options)
            .batch(self._rows, batch_fn=self._collate)
        )
        return iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=1))

    def _collate(self, chunks: Sequence[Chunk]) -> tuple[Sequence[Chunk], Batch]:
        return chunks, collate(chunks, self._max_tokens)


def _share(batch_size: int, processes: int) -> int:
    """How many rows of a batch each process gets."""
    if batch_size < 1 or batch_size % processes:
        expected = f"a positive multiple of the {processes} processes"
        raise ConfigError("batch_size", expected, str(batch_size))
    return batch_size // processes
