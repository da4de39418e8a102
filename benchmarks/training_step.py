"""Time of forward and backward pass, compared with padding to 2048 notes and T5X's attention.

The released implementation pads all segments to 2048 note tokens; here a batch is padded to the
next bucket. The rows are

- this implementation;
- this implementation with padding to 2048;
- the same network as in the released implementation: padding to 2048, and T5X's attention (softmax
  over all logits, dropout on the probabilities, heads next to last).

    python benchmarks/training_step.py

Each row is a process; they take turns, so that other load on the machine affects all of them. The
table has medians of wall time and of CPU time, which depends less on other load, and the operations
of the matrix products. All processes keep freed memory, like `train.py`, unless `--memory released`
is given. A batch of 2 at the small size needs 17 GB for the three processes.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from counting import count_flops
from worker import Worker

from spectrodiff.core.parallel import make_mesh
from spectrodiff.core.runtime import keep_memory
from spectrodiff.models import attention, layers
from spectrodiff.models.config import SIZES, ModelConfig
from spectrodiff.models.padding import note_bucket
from spectrodiff.training.examples import read_examples
from spectrodiff.training.optimizers import join_fixed, split_fixed
from spectrodiff.training.settings import Network, Training
from spectrodiff.training.tasks.denoise import Denoise

PADDED = 2048


def main() -> None:
    arguments = parse_flags()
    if arguments.role:
        serve(arguments)
        return
    bucket = note_bucket(arguments.note_tokens, PADDED)
    rows = {
        f"notes padded to {bucket}": worker(bucket),
        f"notes padded to {PADDED}": worker(PADDED),
        f"notes padded to {PADDED}, as released": worker(PADDED, "--as_released"),
    }
    flops = {name: row.read() for name, row in rows.items()}
    passes: dict[str, list[list[float]]] = {name: [] for name in rows}
    for _ in range(arguments.rounds):
        for name, row in rows.items():
            passes[name].append([value / arguments.batch_size for value in row.ask("measure")])
    medians = {
        name: [statistics.median(part) for part in zip(*p, strict=True)]
        for name, p in passes.items()
    }
    ours = next(iter(medians.values()))
    load = os.getloadavg()[0]
    print(f"load of {load:.1f} on {os.cpu_count()} cores, 1 to 2 of it by these processes")
    print("| forward and backward | s per example | times ours | core s | times ours | GFLOP |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, total in flops.items():
        both = zip(medians[name], ours, strict=True)
        line = " | ".join(f"{value:.2f} | {value / reference:.1f}" for value, reference in both)
        print(f"| {name} | {line} | {total / arguments.batch_size / 1e9:.0f} |")


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


def worker(length: int, *flags: str) -> Worker:
    """Starts a process that runs `serve` with the flags of this one."""
    script = str(Path(__file__).resolve())
    return Worker([sys.executable, script, *sys.argv[1:], "--role", str(length), *flags])


def serve(arguments: argparse.Namespace) -> None:
    """Prints the operations of a pass, then wall and CPU time of a pass for each line of input."""
    if arguments.memory == "kept":
        keep_memory()
    attention = t5x_attention() if arguments.as_released else contextlib.nullcontext()
    with attention:
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
    """Returns a compiled forward and backward pass with features, and its operations."""
    training = Training(batch_size=batch_size)
    task = Denoise(config=Network(size=size).config(), dtype=training.dtype, remat=training.remat)
    mesh = make_mesh(jax.devices()[:1])
    batch = jax.device_put(examples(task.sizes, batch_size, note_tokens, length))
    params = task.init_params(0)

    @jax.jit
    def loss_and_gradients(params, batch, key):
        trained, fixed = split_fixed(params)
        examples = read_examples(batch, task.sizes, mesh)
        return jax.value_and_grad(
            lambda trained: task.loss(join_fixed(trained, fixed), examples, key)["loss"]
        )(trained)

    compiled = loss_and_gradients.lower(params, batch, jax.random.key(0)).compile()

    def run() -> None:
        jax.block_until_ready(compiled(params, batch, jax.random.key(0)))

    return run, count_flops(loss_and_gradients.trace(params, batch, jax.random.key(0)).jaxpr)


def examples(
    config: ModelConfig, batch_size: int, note_tokens: int, length: int
) -> dict[str, np.ndarray]:
    """Returns a batch of random examples with full contexts, padded to `length` tokens."""
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
    """Replaces attention by T5X's in networks that are traced in the block."""

    def attend(query, memory, *, causal=False, rate=0.0, key=None):
        assert not causal
        query, keys, values = (a.swapaxes(1, 2) for a in (query, memory.key, memory.value))
        logits = jnp.einsum("bthk,bshk->bhts", query, keys)
        if memory.lengths is not None:
            exists = jnp.arange(keys.shape[1])[None] < memory.lengths[:, None]
            logits += jnp.where(exists[:, None, None], 0.0, -1e10)
        weights = jax.nn.softmax(logits)
        weights = layers.dropout(weights, rate, key, shared_axis=2)
        return jnp.einsum("bhts,bshk->bthk", weights, values).swapaxes(1, 2)

    with mock.patch.object(attention, "attend", attend):
        yield


if __name__ == "__main__":
    main()
