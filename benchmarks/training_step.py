"""Forward and backward pass at the paper's small size, notes padded to a bucket or to 2048.

The released implementation pads every segment to 2048 note tokens. Here a batch is padded to the
next bucket, and attention is laid out for what surrounds it. The rows are

- ours;
- ours, but padded to 2048;
- padded to 2048, with attention as T5X writes it: softmax over all of the logits, dropout on the
  probabilities, heads next to last.

    python benchmarks/training_step.py

All take turns in one run, so that what else the machine does hits all. Printed are medians.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.models import layers
from spectrodiff.models.config import SIZES, ModelConfig
from spectrodiff.synthesis.segments import make_mesh
from spectrodiff.synthesis.songs import note_bucket
from spectrodiff.training.objective import make_objective
from spectrodiff.training.optimizers import join_fixed, split_fixed
from spectrodiff.training.segments import read_segments
from spectrodiff.training.settings import Diffusion, Network, Training

# Of the released implementation, padded, on 2 CPU cores; measured once, not in this run.
RELEASED_SECONDS = 14.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--note_tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bucket, batch = note_bucket(arguments.note_tokens, 2048), arguments.batch_size
    with t5x_attention():
        as_t5x = training_pass(arguments.size, batch, arguments.note_tokens, 2048)
    passes = {
        f"notes padded to {bucket}": training_pass(
            arguments.size, batch, arguments.note_tokens, bucket
        ),
        "notes padded to 2048": training_pass(arguments.size, batch, arguments.note_tokens, 2048),
        "notes padded to 2048, attention as in T5X": as_t5x,
    }
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(arguments.rounds):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - start) / batch)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    medians["released implementation, measured once"] = RELEASED_SECONDS
    ours = next(iter(medians.values()))
    print("| forward and backward | s per example | examples/s | times ours |")
    print("|---|---:|---:|---:|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} | {1 / median:.2f} | {median / ours:.1f} |")


def training_pass(size: str, batch_size: int, note_tokens: int, length: int) -> Callable[[], None]:
    """A compiled forward and backward pass, features and dropout included."""
    training = Training(batch_size=batch_size)
    objective = make_objective(Network(size=size), Diffusion(), training)
    mesh = make_mesh(jax.devices()[:1])
    batch = jax.device_put(examples(objective.config, batch_size, note_tokens, length))
    params = objective.init_params(0)

    @jax.jit
    def loss_and_gradients(params, batch, key):
        trained, fixed = split_fixed(params)
        segment = read_segments(batch, objective.config, mesh)
        return jax.value_and_grad(
            lambda trained: objective.loss(join_fixed(trained, fixed), segment, key)
        )(trained)

    compiled = loss_and_gradients.lower(params, batch, jax.random.key(0)).compile()

    def run() -> None:
        jax.block_until_ready(compiled(params, batch, jax.random.key(0)))

    run()
    return run


def examples(
    config: ModelConfig, batch_size: int, note_tokens: int, length: int
) -> dict[str, np.ndarray]:
    """Examples of so many notes, padded to a length, with full contexts."""
    rng = np.random.default_rng(0)
    tokens = np.zeros((batch_size, length), np.int32)
    tokens[:, :note_tokens] = rng.integers(3, 1000, (batch_size, note_tokens))
    samples = (config.context_frames + config.target_frames + 16) * 320
    return {
        "tokens": tokens,
        "audio": rng.integers(-8000, 8000, (batch_size, samples), np.int16),
        "context_frames": np.full(batch_size, config.context_frames, np.int32),
    }


@contextlib.contextmanager
def t5x_attention() -> Iterator[None]:
    """What is built in the block attends as T5X does."""

    def attend(query, memory, rate=0.0, key=None):
        query, keys, values = (a.swapaxes(1, 2) for a in (query, memory.key, memory.value))
        logits = jnp.einsum("bthk,bshk->bhts", query, keys)
        logits += jnp.where(memory.mask[:, None], 0.0, -1e10)
        weights = jax.nn.softmax(logits)
        weights = layers.dropout(weights, rate, key, shared_axis=2)
        return jnp.einsum("bhts,bshk->bthk", weights, values).swapaxes(1, 2)

    with mock.patch.object(layers, "attend", attend):
        yield


if __name__ == "__main__":
    main()
