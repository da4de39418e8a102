"""Fits the times of few sampling steps to a model.

    python benchmarks/fit_times.py --model runs/mini --out times.json

Songs of the seeded composer are sampled with many steps. Then the times of few steps are changed
one after another, by smaller and smaller amounts, so that samples of the same noise, notes and
context come closer to those of many steps (mean absolute difference of scaled features). The result
is the times by number of steps, for `Sampling.times` and `sweeps.py free --times`.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.commands import program
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import NARROW
from spectrodiff.core.files import check_writable
from spectrodiff.core.json_files import write_json
from spectrodiff.core.parallel import make_mesh
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.diffusion.sampler import grid
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.segments.model import SegmentBatch, SegmentModel
from spectrodiff.synthesis.songs import generate_songs

# Series of songs that neither training nor measurements use.
SERIES = 1_000_777
MANY_STEPS = 50
# Changes of a time are not made smaller than this.
SMALLEST_CHANGE = 0.01

Times = tuple[float, ...]


class Kept:
    """A model that keeps the batches it is given and the features it generates."""

    def __init__(self, model: SegmentModel) -> None:
        self.model = model
        self.pairs: list[tuple[SegmentBatch, np.ndarray]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(
        self, batch: SegmentBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        features = self.model(batch, on_steps)
        self.pairs.append((batch, np.asarray(features)))
        return features


def main(arguments: Sequence[str]) -> None:
    flags = parse_flags(arguments)
    check_writable(flags.out.parent)
    enable_compilation_cache()
    checkpoint = open_checkpoint(flags.model)
    schedule, mesh = make_schedule(checkpoint.schedule), make_mesh(jax.devices()[:1])

    def model(sampling: Sampling) -> DiffusionSegments:
        return DiffusionSegments(
            checkpoint.config,
            checkpoint.params,
            schedule=schedule,
            prediction=checkpoint.prediction,
            sampling=sampling,
            dtype=jnp.float32,
            mesh=mesh,
        )

    many = Sampling(flags.sampler, MANY_STEPS, flags.guidance, spacing="logsnr")
    kept = Kept(model(many))
    config = checkpoint.config
    songs = [
        tokenize_song(
            compose(SERIES, NARROW, index),
            checkpoint.tokenization,
            max_tokens=config.note_tokens,
            segment_frames=config.target_frames,
        ).tokens[: flags.segments]
        for index in range(flags.songs)
    ]
    for _ in generate_songs(kept, songs, seed=0):
        pass

    def distance(times: Times) -> float:
        few = model(many.but(times=times))
        return float(np.mean([np.abs(few(batch) - wanted).mean() for batch, wanted in kept.pairs]))

    fitted = {}
    for steps in flags.steps:
        plain = tuple(grid(schedule, steps)[:-1].tolist())
        even = tuple(grid(schedule, steps, "logsnr")[:-1].tolist())
        best, closest = fit(distance, min(plain, even, key=distance))
        fitted[steps] = [round(time, 4) for time in best]
        before = f"{distance(plain):.4f} in time, {distance(even):.4f} in log-SNR"
        print(f"{steps} steps: {fitted[steps]}, distance {closest:.4f} ({before})", flush=True)
        write_json(flags.out, fitted)


def fit(
    distance: Callable[[Times], float], times: Times, smallest: float = SMALLEST_CHANGE
) -> tuple[Times, float]:
    """Minimizes a distance over decreasing times in (0, 1], one time after another.

    Args:
        distance: function to minimize.
        times: first guess.
        smallest: change of a time below which the search ends.

    Returns:
        The times and their distance, which no change of one of them by `smallest` reduces.
    """
    closest, change = distance(times), 0.5 / len(times)
    while True:
        improved = False
        for place in range(len(times)):
            for sign in (-1, 1):
                other = (*times[:place], times[place] + sign * change, *times[place + 1 :])
                ends = (1.0, *other, 0.0)
                # The first time may be 1, later ones have to be lower than those before.
                if other[0] > 1 or any(t <= s for t, s in itertools.pairwise(ends[1:])):
                    continue
                found = distance(other)
                if found < closest:
                    times, closest, improved = other, found, True
                    break
        if not improved:
            if change <= smallest:
                return times, closest
            change = max(change / 2, smallest)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    # No default: the bundled model is a student, which knows no steps but its own.
    add("--model", required=True, help="diffusion model as sample.py takes it, not a student")
    add("--out", type=Path, required=True, help="JSON file of the times")
    add("--steps", type=int, nargs="+", default=[2, 3, 4, 5], help="numbers of steps")
    add("--sampler", default="dpmpp", help="ddim or dpmpp (default: dpmpp)")
    add("--guidance", type=float, default=1.5)
    add("--songs", type=int, default=4)
    add("--segments", type=int, default=3, help="number of segments of each song")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(program.run(main))
