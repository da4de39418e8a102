"""One training step at the paper's small size: notes padded to a bucket, against padded to 2048.

The released implementation pads every segment to 2048 note tokens; here a batch is padded to the
next bucket. Both steps are the whole of it: log-mel features, dropout, loss, gradients, update.

    python benchmarks/training_step.py

Both take turns in one run, so that what else the machine does hits both. Printed are medians.
"""

import argparse
import statistics
import time

import jax
import numpy as np

from spectrodiff.models.config import SIZES
from spectrodiff.synthesis.segments import make_mesh
from spectrodiff.synthesis.songs import note_bucket
from spectrodiff.training.objective import make_objective
from spectrodiff.training.optimizers import learning_rate, make_optimizer
from spectrodiff.training.settings import Diffusion, Network, Optimization, Training
from spectrodiff.training.sharding import shardings_of
from spectrodiff.training.start import initial_params
from spectrodiff.training.state import Layout, place_state
from spectrodiff.training.step import make_train_step

RELEASED_SECONDS_PER_EXAMPLE = 14.6  # on 2 CPU cores, measured once on such a machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--note_tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bucket = note_bucket(arguments.note_tokens, 2048)
    trainer = Trainer(Network(size=arguments.size), Training(batch_size=arguments.batch_size))
    batches = [trainer.batch(arguments.note_tokens, length) for length in (bucket, 2048)]
    for batch in batches:
        trainer.step(batch)  # compiles
    seconds: list[list[float]] = [[], []]
    for _ in range(arguments.rounds):
        for batch, measured in zip(batches, seconds, strict=True):
            measured.append(trainer.step(batch) / arguments.batch_size)
    ours, padded = map(statistics.median, seconds)
    print("| notes padded to | s per example | examples/s |")
    print("|---:|---:|---:|")
    print(f"| {bucket} | {ours:.2f} | {1 / ours:.2f} |")
    print(f"| 2048 | {padded:.2f} | {1 / padded:.2f} |")
    print(f"ratio {padded / ours:.1f}; against the released implementation's", end=" ")
    print(
        f"{RELEASED_SECONDS_PER_EXAMPLE} s per example: {RELEASED_SECONDS_PER_EXAMPLE / ours:.1f}"
    )


class Trainer:
    """A model in training on one device."""

    def __init__(
        self, network: Network, training: Training, optimization: Optimization | None = None
    ) -> None:
        optimization = optimization or Optimization()
        mesh = make_mesh(jax.devices()[:1])
        objective = make_objective(network, Diffusion(), training)
        optimizer = make_optimizer(optimization, learning_rate(optimization, training.steps))
        params = initial_params(objective, training.seed)
        self._state = place_state(params, optimizer, Layout(mesh))
        self._step = make_train_step(
            objective, optimizer, mesh, shardings_of(self._state), training, optimization
        )
        self._config, self._batch_size = objective.config, training.batch_size

    def batch(self, note_tokens: int, length: int) -> dict[str, np.ndarray]:
        """Examples of so many notes, padded to a length."""
        rng, config = np.random.default_rng(0), self._config
        tokens = np.zeros((self._batch_size, length), np.int32)
        tokens[:, :note_tokens] = rng.integers(3, 1000, (self._batch_size, note_tokens))
        frames = config.context_frames + config.target_frames + 16
        audio = rng.integers(-8000, 8000, (self._batch_size, frames * 320), np.int16)
        context_frames = np.full(self._batch_size, config.context_frames, np.int32)
        return {"tokens": tokens, "audio": audio, "context_frames": context_frames}

    def step(self, batch: dict[str, np.ndarray]) -> float:
        """Takes a step; returns how many seconds it took."""
        start = time.perf_counter()
        self._state, metrics = self._step(self._state, batch)
        jax.block_until_ready((self._state, metrics))
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
