"""How well a network does on examples it is not trained on, the same number every time it is asked.

Every example brings its own noise, whatever batch it is in and however many devices there are.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from spectrodiff.core.errors import CorpusError
from spectrodiff.core.parallel import batch_split, replicated, to_devices
from spectrodiff.data.loading.batches import collate
from spectrodiff.data.loading.examples import Chunk, Chunking, Cutter
from spectrodiff.data.loading.mixture import Source
from spectrodiff.data.recordings import Recording
from spectrodiff.training.examples import read_segments
from spectrodiff.training.state import Params, TrainState
from spectrodiff.training.task import Objective

Examples = dict[str, np.ndarray]  # a batch of all of them


def choose_examples(sources: Sequence[Source], chunking: Chunking, count: int) -> Examples:
    """Segments spread evenly over corpora, over their recordings, and over each recording.

    Raises:
        CorpusError: if there are no recordings.
    """
    if not any(len(source) for source in sources):
        raise CorpusError("evaluation data", "recordings", "none")
    sources = [source for source in sources if len(source)]
    chunks: list[Chunk] = []
    for number, source in enumerate(sources):
        share = (count * (number + 1)) // len(sources) - (count * number) // len(sources)
        for index, wanted in _spread(share, len(source)):
            chunks += _cut(source[index], chunking, wanted)
    return collate(chunks, chunking.max_tokens)


class Evaluation:
    """Scores of a fixed set of examples.

    Args:
        objective: what says how good an answer is.
        examples: host arrays, the same in every process.
        batch_size: how many to look at together, over all devices; changes only the time it takes.
        mesh: the devices.
        shardings: where the arrays of a state lie.
    """

    def __init__(
        self,
        objective: Objective,
        examples: Examples,
        *,
        batch_size: int,
        mesh: Mesh,
        shardings: TrainState,
    ) -> None:
        self._examples = {
            **examples,
            "seeds": example_seeds(examples),
            # Another example's notes: those of the next one, wherever batches begin.
            "other_tokens": np.roll(examples["tokens"], -1, axis=0),
        }
        self._count = len(examples["tokens"])
        self._batch_size, self._mesh = batch_size, mesh
        self._score = _compile(objective, mesh, shardings)

    def __call__(
        self, params: Params, stopping: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """Mean scores by name; every process has to ask.

        Args:
            params: of the network.
            stopping: asked before each batch whether to give up, which leaves no scores at all;
                all processes need the same answer.
        """
        scores: dict[str, list[np.ndarray]] = {}
        for batch, valid in self._batches():
            if stopping():
                return {}
            answers = self._score(params, to_devices(batch, self._mesh))
            for name, values in jax.device_get(answers).items():
                scores.setdefault(name, []).append(values[:valid])
        return {
            name: float(np.concatenate(values).mean(dtype=np.float64))
            for name, values in scores.items()
        }

    def _batches(self) -> Iterator[tuple[Examples, int]]:
        """This process's rows of each batch, and how many rows of the whole batch are examples."""
        rows = self._batch_size // jax.process_count()
        mine = jax.process_index() * rows + np.arange(rows)
        for first in range(0, self._count, self._batch_size):
            # The last batch is filled up with examples that were scored before.
            numbers = (first + mine) % self._count
            batch = {name: values[numbers] for name, values in self._examples.items()}
            yield batch, min(self._batch_size, self._count - first)


def example_seeds(examples: Examples) -> np.ndarray:
    """A number for each example that only its own content decides, uint32 [N]."""
    seeds = [
        zlib.crc32(audio.tobytes(), zlib.crc32(tokens[tokens > 0].tobytes()))
        for tokens, audio in zip(examples["tokens"], examples["audio"], strict=True)
    ]
    return np.array(seeds, np.uint32)


def _compile(objective: Objective, mesh: Mesh, shardings: TrainState) -> Any:
    def score(params: Params, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        segment = read_segments(batch, objective.config, mesh)
        base = jax.random.key(0, impl="threefry2x32")
        keys = jax.vmap(lambda seed: jax.random.fold_in(base, seed))(batch["seeds"])
        return objective.scores(params, segment, keys) | objective.gap(
            params, segment, batch["other_tokens"], keys
        )

    return jax.jit(
        score,
        in_shardings=(shardings.params, batch_split(mesh)),
        out_shardings=replicated(mesh),
    )


def _spread(count: int, places: int) -> list[tuple[int, int]]:
    """Shares `count` out to evenly chosen places: (place, how many)."""
    chosen = sorted({number * places // max(count, 1) for number in range(count)})
    each = math.ceil(count / max(len(chosen), 1))
    shares = [min(each, count - each * number) for number in range(len(chosen))]
    return [(place, share) for place, share in zip(chosen, shares, strict=True) if share > 0]


def _cut(recording: Recording, chunking: Chunking, count: int) -> list[Chunk]:
    """Segments of the grid that songs are rendered in, spread over the recording."""
    cutter = Cutter(recording, chunking)
    starts = range(0, cutter.num_frames, chunking.target_frames)
    count = min(count, len(starts))
    return [cutter.cut(starts[number * len(starts) // count]) for number in range(count)]
