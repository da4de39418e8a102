"""Forward and backward pass at the paper's small size, notes padded to a bucket or to 2048.

The released implementation pads every segment to 2048 note tokens. Here a batch is padded to the
next bucket, and attention is laid out for what surrounds it. The rows are

- ours;
- ours, but padded to 2048;
- the same network as the released implementation computes it: padded to 2048, attention as T5X
  writes it (softmax over all of the logits, dropout on the probabilities, heads next to last).

    python benchmarks/training_step.py

All of them keep freed memory, as `train.py` does; `--memory released` has none of them do it. Each
is a process; they take turns in one run, so that what else the machine does hits all. Printed are
medians: of the time a pass takes, and of the seconds that cores work on it, which depend less on
what else there is; and the arithmetic in the matrix products: the second row costs about as much
more than the first as there is more to multiply. A batch of 2 needs 17 GB for the three processes.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from counting import count_flops

from spectrodiff.core.parallel import make_mesh
from spectrodiff.core.runtime import keep_memory
from spectrodiff.models import layers
from spectrodiff.models.config import SIZES, ModelConfig
from spectrodiff.models.padding import note_bucket
from spectrodiff.training.examples import read_examples
from spectrodiff.training.optimizers import join_fixed, split_fixed
from spectrodiff.training.settings import Network, Training
from spectrodiff.training.tasks.denoise import Denoise, Diffusion

PADDED = 2048


def main() -> None:
    arguments = parse_flags()
    if arguments.role:
        serve(arguments)
        return
    bucket = note_bucket(arguments.note_tokens, PADDED)
    rows = {
        f"notes padded to {bucket}": Worker(bucket),
        f"notes padded to {PADDED}": Worker(PADDED),
        f"notes padded to {PADDED}, as released": Worker(PADDED, "--as_released"),
    }
    passes: dict[str, list[list[float]]] = {name: [] for name in rows}
    for _ in range(arguments.rounds):
        for name, worker in rows.items():
            passes[name].append([value / arguments.batch_size for value in worker.measure()])
    medians = {
        name: [statistics.median(part) for part in zip(*p, strict=True)]
        for name, p in passes.items()
    }
    ours = next(iter(medians.values()))
    load = os.getloadavg()[0]
    print(f"{load:.1f} processes wanted one of {os.cpu_count()} cores, 1 to 2 of them these rows")
    print("| forward and backward | s per example | times ours | core s | times ours | GFLOP |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, worker in rows.items():
        both = zip(medians[name], ours, strict=True)
        line = " | ".join(f"{value:.2f} | {value / reference:.1f}" for value, reference in both)
        print(f"| {name} | {line} | {worker.flops / arguments.batch_size / 1e9:.0f} |")


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--note_tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", default="kept", choices=("kept", "released"))
    parser.add_argument("--role", type=int, metavar="LENGTH", help=argparse.SUPPRESS)
    parser.add_argument("--as_released", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


class Worker:
    """A process that takes a pass for every line it is sent."""

    def __init__(self, length: int, *flags: str) -> None:
        script = str(Path(__file__).resolve())
        self._process = subprocess.Popen(
            [sys.executable, script, *sys.argv[1:], "--role", str(length), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.flops = float(json.loads(self._process.stdout.readline()))

    def measure(self) -> list[float]:
        """Seconds of a pass, and seconds that cores worked on it."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def serve(arguments: argparse.Namespace) -> None:
    if arguments.memory == "kept":
        keep_memory()
    written = t5x_attention() if arguments.as_released else contextlib.nullcontext()
    with written:
        run, flops = training_pass(
            arguments.size, arguments.batch_size, arguments.note_tokens, arguments.role
        )
    run()
    print(flops, flush=True)
    for _ in sys.stdin:
        start, worked = time.perf_counter(), time.process_time()
        run()
        print([time.perf_counter() - start, time.process_time() - worked], flush=True)


def training_pass(
    size: str, batch_size: int, note_tokens: int, length: int
) -> tuple[Callable[[], None], float]:
    """A compiled forward and backward pass, features and dropout included, and its arithmetic."""
    training = Training(batch_size=batch_size)
    task = Denoise(Network(size=size).config(), Diffusion(), training.dtype, training.remat)
    mesh = make_mesh(jax.devices()[:1])
    batch = jax.device_put(examples(task.sizes, batch_size, note_tokens, length))
    params = task.init_params(0)

    @jax.jit
    def loss_and_gradients(params, batch, key):
        trained, fixed = split_fixed(params)
        segment = read_examples(batch, task.sizes, mesh)
        return jax.value_and_grad(
            lambda trained: task.loss(join_fixed(trained, fixed), segment, key)
        )(trained)

    compiled = loss_and_gradients.lower(params, batch, jax.random.key(0)).compile()

    def run() -> None:
        jax.block_until_ready(compiled(params, batch, jax.random.key(0)))

    return run, count_flops(loss_and_gradients.trace(params, batch, jax.random.key(0)).jaxpr)


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
    """Context in which modules are built with attention as in T5X."""

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
