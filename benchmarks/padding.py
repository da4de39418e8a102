"""Share of padding in the note tokens of training batches.

    python benchmarks/padding.py

composes songs as `spectrodiff prepare soundfont` does, without rendering them, and prints how much
of the tokens is padding if examples of like length share a batch, and if they do not: then a batch
is padded to the smallest of the same lengths that its longest example fits into.
"""

import argparse

import numpy as np

from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import FULL
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.data.loading.lengths import count_tokens
from spectrodiff.data.loading.plan import BatchPlan, Plan
from spectrodiff.data.pieces import MemoryPieces
from spectrodiff.data.recordings import Recording


def compose_pieces(songs: int) -> MemoryPieces:
    """Returns the pieces of composed songs, with silent audio."""
    composed = (compose(0, FULL, index) for index in range(songs))
    return MemoryPieces(
        Recording(str(number), np.zeros(int(notes.total_seconds * SAMPLE_RATE), np.int16), notes)
        for number, notes in enumerate(composed)
    )


def lengths_of(batch: BatchPlan, counts: list[np.ndarray]) -> np.ndarray:
    """Returns the numbers of tokens of the examples of a batch."""
    rows = zip(batch.piece, batch.target_frame, strict=True)
    return np.array([counts[piece][start] for piece, start in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the padding of training batches.")
    parser.add_argument("--songs", type=int, default=600)
    parser.add_argument("--batch_sizes", type=int, nargs="*", default=[16, 64, 256, 1024])
    flags = parser.parse_args()
    source, example_format = compose_pieces(flags.songs), ExampleFormat()
    longest = example_format.max_tokens
    counts = [
        np.minimum(count_tokens(source.without_audio(number), example_format), longest)
        for number in range(len(source))
    ]
    print("| batch size | tokens per example | padded to | padding | padding without grouping |")
    print("|---:|---:|---|---:|---:|")
    for batch_size in flags.batch_sizes:
        plan = Plan([source], example_format, batch_size=batch_size, seed=0)
        batches = [plan[number] for number in range(plan.window_batches)]
        lengths = [lengths_of(batch, counts) for batch in batches]
        tokens = sum(int(found.sum()) for found in lengths)
        grouped = sum(batch.length * batch_size for batch in batches)
        # The same examples in another order.
        mixed = np.random.default_rng(0).permutation(np.concatenate(lengths))
        mixed_longest = mixed.reshape(-1, batch_size).max(axis=1)
        alone = plan.lengths[np.searchsorted(plan.lengths, mixed_longest)].sum() * batch_size
        print(
            f"| {batch_size} | {tokens / len(mixed):.0f} | {', '.join(map(str, plan.lengths))} "
            f"| {100 * (1 - tokens / grouped):.0f} % | {100 * (1 - tokens / alone):.0f} % |"
        )


if __name__ == "__main__":
    main()
