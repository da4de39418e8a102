"""Plan of training batches: which examples share a batch, and the length of their tokens.

Examples of like length share a batch, so that little of it is padding. Which ones do is a function
of the seed and the number of the batch: any process knows it without reading recordings or asking
the others.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spectrodiff.core.constants import EXTRA_FRAMES
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.loading.examples import ExampleFormat, start_range
from spectrodiff.data.loading.lengths import BLOCK_FRAMES, Source, most_tokens
from spectrodiff.data.loading.mixture import REPLACEMENTS, STARTS, Mixture, seeded

# Examples are grouped within windows of so many batches, and of at least so many examples. Larger
# windows would save little padding.
WINDOW_BATCHES, WINDOW_EXAMPLES = 128, 4096
# Number of lengths that tokens are padded to: each takes a compilation of the training step.
NUM_LENGTHS = 6
# Lengths are multiples of this number.
_LENGTH_UNIT = 32


class BatchPlan(NamedTuple):
    """Examples of a batch.

    Attributes:
        corpus: int64 [B].
        piece: number of the piece in its corpus, int64 [B].
        target_frame: frame of the piece that the segment begins at, int64 [B].
        length: length that all tokens are padded to.
    """

    corpus: np.ndarray
    piece: np.ndarray
    target_frame: np.ndarray
    length: int


class _Window(NamedTuple):
    """Plans of successive batches: arrays of `BatchPlan` with a leading axis."""

    corpus: np.ndarray
    piece: np.ndarray
    target_frame: np.ndarray
    length: np.ndarray


class Plan:
    """Plans of an endless sequence of batches; can be pickled.

    Args:
        sources: the corpora.
        example_format: lengths and tokenization of examples.
        batch_size: B, over all processes.
        seed: of all random choices.
        weights: share of each corpus, of any sum; by default those of `mixture_weights`.

    Attributes:
        lengths: lengths that tokens are padded to, chosen for the corpora, int64 [6] or fewer.
        window_batches: number of successive batches within which examples are grouped.

    Raises:
        CorpusError: if a corpus is empty, or its pieces are stored with too little behind them.
        ConfigError: if a number is impossible.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        example_format: ExampleFormat,
        *,
        batch_size: int,
        seed: int,
        weights: Sequence[float] | None = None,
    ) -> None:
        self._batch_size, self._seed = batch_size, seed
        self.window_batches = max(WINDOW_BATCHES, -(-WINDOW_EXAMPLES // batch_size))
        self._mixture = Mixture(
            [len(source) for source in sources],
            window=self.window_batches * batch_size,
            seed=seed,
            weights=weights,
        )
        for source in sources:
            _check_following(source, example_format)
        self._num_frames = [source.num_frames for source in sources]
        self._most_tokens = [most_tokens(source, example_format) for source in sources]
        self.lengths = padded_lengths(self._histogram(example_format.max_tokens))
        self._window = functools.lru_cache(maxsize=2)(self._plan)

    def __getitem__(self, batch: int) -> BatchPlan:
        number, place = divmod(batch, self.window_batches)
        window = self._window(number)
        corpus, piece, target_frame, length = (column[place] for column in window)
        return BatchPlan(corpus, piece, target_frame, int(length))

    def generator(self, batch: int, row: int) -> np.random.Generator:
        """Returns a generator for what replaces an example."""
        return seeded(REPLACEMENTS, self._seed, batch, row)

    def _plan(self, number: int) -> _Window:
        draws = self._mixture.draws(number)
        generator = seeded(STARTS, self._seed, number)
        place = generator.random(len(draws.piece))
        target_frame, most = np.zeros_like(draws.piece), np.zeros_like(draws.piece)
        for corpus, (num_frames, table) in enumerate(
            zip(self._num_frames, self._most_tokens, strict=True)
        ):
            rows = draws.corpus == corpus
            pieces = draws.piece[rows]
            start = (place[rows] * start_range(num_frames[pieces])).astype(np.int64)
            target_frame[rows], most[rows] = start, table[pieces, start // BLOCK_FRAMES]
        # An example with too many tokens is replaced by a random one, or truncated.
        length = np.searchsorted(self.lengths, np.minimum(most, self.lengths[-1]))
        # Sorted by padded length only, so that what shares a batch is else left to chance.
        order = np.argsort(length, kind="stable").reshape(self.window_batches, self._batch_size)
        order = generator.permutation(order)
        order = generator.permuted(order, axis=1)
        return _Window(
            draws.corpus[order],
            draws.piece[order],
            target_frame[order],
            self.lengths[length[order].max(axis=1)],
        )

    def _histogram(self, max_tokens: int) -> np.ndarray:
        """Returns the share of examples by their number of tokens, float64 [max_tokens + 1]."""
        histogram = np.zeros(max_tokens + 1)
        for weight, num_frames, table in zip(
            self._mixture.weights, self._num_frames, self._most_tokens, strict=True
        ):
            starts = start_range(num_frames)[:, None] - BLOCK_FRAMES * np.arange(table.shape[1])
            share = np.clip(starts, 0, BLOCK_FRAMES) / start_range(num_frames)[:, None]
            share *= weight / len(num_frames)
            most = np.minimum(table, max_tokens)
            histogram += np.bincount(most.ravel(), share.ravel(), minlength=len(histogram))
        return histogram

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_window"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._window = functools.lru_cache(maxsize=2)(self._plan)


def padded_lengths(
    histogram: np.ndarray, count: int = NUM_LENGTHS, unit: int = _LENGTH_UNIT
) -> np.ndarray:
    """Chooses the lengths to pad tokens to that leave the least padding.

    Args:
        histogram: share of examples by their number of tokens, [longest + 1].
        count: number of lengths.
        unit: lengths are multiples of it, except for the longest.

    Returns:
        At most `count` increasing lengths; the last one is that of the longest possible example.
    """
    longest = len(histogram) - 1
    ends = np.unique(np.append(np.arange(0, longest, unit), longest))
    below = np.concatenate([[0.0], np.cumsum(histogram)])[ends + 1]
    below[0] = 0.0
    # Padded size of all examples longer than ends[i] and at most ends[j].
    size = (below[None] - below[:, None]) * ends[None]
    size[np.tril_indices(len(ends))] = np.inf
    best, choices = size[0], []
    for _ in range(min(count, len(ends) - 1) - 1):
        total = best[:, None] + size
        choices.append(np.argmin(total, axis=0))
        best = np.min(total, axis=0)
    chosen = [len(ends) - 1]
    for choice in reversed(choices):
        chosen.append(int(choice[chosen[-1]]))
    return ends[chosen[::-1]]


def _check_following(source: Source, example_format: ExampleFormat) -> None:
    needed = example_format.target_frames + EXTRA_FRAMES
    if source.length.following < needed:
        raise CorpusError(
            "training data",
            f"pieces stored with the {needed} frames that follow them, for segments of "
            f"{example_format.target_frames} frames (prepare with --following_frames {needed})",
            f"{source.length.following}",
        )
