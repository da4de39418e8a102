"""Errors of FAD-infinity on Gaussians whose Frechet distance is known exactly.

    python benchmarks/extrapolation.py

Means differ by a shift and deviations by a factor, on 16, 64 and 128 axes with equal or falling
variances. Frames of both sides are independent, or correlated by 0.9 as those of renderings and
recordings of the same songs. The table has, by frames per dimension in the smallest subset: the
error of lines through distances in which both sides shrink, and in which only one does, in parts of
the error of the plain distance; then how often the line is shown, and how often it is then nearer
to the true distance than the plain one, where they differ by more than 1 %. The rules in
`evaluation/metrics/extrapolation.py` are from this table.
"""

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance
from spectrodiff.evaluation.metrics.extrapolation import (
    LARGEST_TO_SMALLEST,
    NEGLIGIBLE,
    NestedSubsets,
    frechet_at_infinity,
)

FRAMES_PER_DIM = (0.5, 1, 2, 3, 5)
DIMS = (16, 64, 128)
DIFFERENCES = ((0, 1), (0.1, 1.1), (0.3, 1.2), (1, 1.5))  # shift and factor
CORRELATIONS = (0, 0.9)


@dataclass(frozen=True)
class Errors:
    distance: float
    plain: float
    both: float
    one: float
    shown: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=4)
    flags = parser.parse_args()
    print("| frames per dimension | correlation | both shrink | one shrinks | shown | nearer |")
    print("|---:|---:|---:|---:|---:|---:|")
    for ratio, correlation in itertools.product(FRAMES_PER_DIM, CORRELATIONS):
        rng = np.random.default_rng(0)
        found = [
            errors(rng, dims, falling, shift, scale, ratio, correlation)
            for dims in DIMS
            for falling in (False, True)
            for shift, scale in DIFFERENCES
            for _ in range(flags.repetitions)
        ]
        bias = sum(error.plain for error in found)
        both, one = (sum(getattr(error, name) for error in found) for name in ("both", "one"))
        shown = [error for error in found if error.shown is not None]
        moved = [e for e in shown if abs(e.shown - e.plain) > NEGLIGIBLE * e.distance]
        nearer = sum(abs(e.shown) < abs(e.plain) for e in moved) / max(len(moved), 1)
        print(
            f"| {ratio} | {correlation} | {both / bias:+.0%} | {one / bias:+.0%} "
            f"| {len(shown) / len(found):.0%} | {f'{nearer:.0%}' if shown else ''} |",
            flush=True,
        )


def errors(
    rng: np.random.Generator,
    dims: int,
    falling: bool,
    shift: float,
    scale: float,
    ratio: float,
    correlation: float,
) -> Errors:
    deviations = 1 / np.sqrt(np.arange(1, dims + 1)) if falling else np.ones(dims)
    frames = int(ratio * LARGEST_TO_SMALLEST * dims)
    target, own = rng.normal(size=(2, frames, dims))
    prediction = scale * (correlation * target + np.sqrt(1 - correlation**2) * own) + shift
    sides = []
    for side in (prediction, target):
        subsets = NestedSubsets()
        subsets.add("song", side * deviations)
        sides.append(subsets.statistics())
    true = float(np.sum(((scale - 1) ** 2 + shift**2) * deviations**2))
    shown = frechet_at_infinity(*sides)
    distance = frechet_distance(sides[0][-1], sides[1][-1])
    return Errors(
        distance=distance,
        plain=distance - true,
        both=intercept(*sides) - true,
        one=intercept(sides[0], [sides[1][-1]] * len(sides[0])) - true,
        shown=None if shown is None else shown - true,
    )


def intercept(subsets: list[Statistics], references: list[Statistics]) -> float:
    """The value of the line at infinity, trusted or not."""
    pairs = list(zip(subsets, references, strict=True))
    inverses = [1 / subset.count for subset in subsets]
    return np.polyfit(inverses, [frechet_distance(*pair) for pair in pairs], 1)[1]


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
