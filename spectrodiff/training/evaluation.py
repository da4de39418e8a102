"""Deterministic scores of a network on examples that it is not trained on.

The noise of an example depends on the example alone, not on its batch or the number of devices.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from spectrodiff.core.errors import CorpusError
from spectrodiff.core.parallel import batch_split, gathered, replicated, to_devices, traced_for
from spectrodiff.data.loading.batches import HostBatch, collate
from spectrodiff.data.loading.examples import Cutter, Example, ExampleFormat
from spectrodiff.data.pieces import whole
from spectrodiff.data.recordings import Recording
from spectrodiff.models.padding import note_bucket
from spectrodiff.training.examples import read_examples
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, Scores, Task


class Recordings(Protocol):
    """Random access to whole recordings, such as `spectrodiff.data.source.RecordingSource`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Recording: ...


def choose_examples(
    sources: Sequence[Recordings], example_format: ExampleFormat, count: int
) -> HostBatch:
    """Cuts examples evenly spread over corpora, over their recordings, and over each recording.

    Raises:
        CorpusError: if there are no recordings.
    """
    if not any(len(source) for source in sources):
        raise CorpusError("evaluation data", "recordings", "none")
    sources = [source for source in sources if len(source)]
    chosen: list[Example] = []
    for number, source in enumerate(sources):
        share = (count * (number + 1)) // len(sources) - (count * number) // len(sources)
        for index, wanted in _spread(share, len(source)):
            chosen += _cut(source[index], example_format, wanted)
    longest = max(len(example.tokens) for example in chosen)
    return collate(chosen, note_bucket(longest, example_format.max_tokens))


class Evaluator:
    """Scores of a fixed set of examples.

    Args:
        task: computes the scores.
        examples: host arrays, the same in every process.
        batch_size: number of examples scored at once, over all devices; changes only the time.
        mesh: the devices.
        shardings: of the arrays of a state.
        frozen: arrays of `task.frozen` on the devices, if they are there already.
    """

    def __init__(
        self,
        task: Task,
        examples: HostBatch,
        *,
        batch_size: int,
        mesh: Mesh,
        shardings: TrainState,
        frozen: Params | None = None,
    ) -> None:
        self._examples = {
            **examples,
            "seeds": example_seeds(examples),
            # Notes of another example: always the next one, wherever batches begin.
            "other_tokens": np.roll(examples["tokens"], -1, axis=0),
        }
        self._count = len(examples["tokens"])
        self._batch_size, self._mesh = batch_size, mesh
        self._frozen = jax.device_put(task.frozen, replicated(mesh)) if frozen is None else frozen
        self._score = _compile(task, mesh, shardings)

    def __call__(
        self, params: Params, stopping: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """Returns the mean scores by name; every process has to call this.

        Args:
            params: of the network.
            stopping: called before each batch; if it returns True, in all processes alike, there
                are no scores.
        """
        scores: dict[str, list[np.ndarray]] = {}
        for batch, valid in self._batches():
            if stopping():
                return {}
            answers = self._score(params, self._frozen, to_devices(batch, self._mesh))
            for name, values in jax.device_get(answers).items():
                scores.setdefault(name, []).append(values[:valid])
        return {
            name: float(np.concatenate(values).mean(dtype=np.float64))
            for name, values in scores.items()
        }

    def _batches(self) -> Iterator[tuple[HostBatch, int]]:
        """Yields this process's rows of each batch, and the number of valid rows of the batch."""
        rows = self._batch_size // jax.process_count()
        mine = jax.process_index() * rows + np.arange(rows)
        for first in range(0, self._count, self._batch_size):
            # The last batch is filled up with examples that are already scored.
            numbers = (first + mine) % self._count
            batch = {name: values[numbers] for name, values in self._examples.items()}
            yield batch, min(self._batch_size, self._count - first)


def example_seeds(examples: HostBatch) -> np.ndarray:
    """Returns a checksum of each example's tokens and audio, uint32 [N]."""
    seeds = [
        zlib.crc32(audio.tobytes(), zlib.crc32(tokens[tokens > 0].tobytes()))
        for tokens, audio in zip(examples["tokens"], examples["audio"], strict=True)
    ]
    return np.array(seeds, np.uint32)


def _compile(task: Task, mesh: Mesh, shardings: TrainState) -> Any:
    def score(params: Params, frozen: Params, batch: dict[str, jax.Array]) -> Scores:
        examples = read_examples(batch, task.sizes, mesh)
        base = jax.random.key(0, impl="threefry2x32")
        keys = jax.vmap(lambda seed: jax.random.fold_in(base, seed))(batch["seeds"])
        params = gathered(params, shardings.params) | frozen
        with traced_for(mesh):
            scores = task.scores(params, examples, keys)
            return scores | task.notes_gap(params, examples, batch["other_tokens"], keys)

    return jax.jit(
        score,
        in_shardings=(shardings.params, replicated(mesh), batch_split(mesh)),
        out_shardings=replicated(mesh),
    )


def _spread(count: int, places: int) -> list[tuple[int, int]]:
    """Spreads `count` over evenly chosen places; returns pairs of place and share."""
    chosen = sorted({number * places // max(count, 1) for number in range(count)})
    each = math.ceil(count / max(len(chosen), 1))
    shares = [min(each, count - each * number) for number in range(len(chosen))]
    return [(place, share) for place, share in zip(chosen, shares, strict=True) if share > 0]


def _cut(recording: Recording, example_format: ExampleFormat, count: int) -> list[Example]:
    """Cuts examples whose segments lie on the grid of rendering, spread over the recording."""
    piece = whole(recording)
    cutter = Cutter(piece, example_format)
    starts = range(0, piece.num_frames, example_format.target_frames)
    count = min(count, len(starts))
    return [cutter.cut(starts[number * len(starts) // count]) for number in range(count)]
