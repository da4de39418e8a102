"""Time of a training step by batch size, number of notes and number of layers.

    python benchmarks/step_scaling.py --picture step_scaling.png

Each row changes one setting. The times are medians of whole steps: features, forward, backward,
update. The default network has a width of 256, which is enough to see the growth; --size small is
the paper's.
"""

import argparse
import dataclasses
import statistics
import time
from pathlib import Path

import jax
from training_step import examples

from spectrodiff.core.parallel import make_mesh, shardings_of
from spectrodiff.models.config import SIZES
from spectrodiff.training.optimizers import learning_rate, make_optimizer
from spectrodiff.training.settings import Network, Optimization, Training
from spectrodiff.training.start import initial_params
from spectrodiff.training.state import Placement, place_state
from spectrodiff.training.step import make_train_step
from spectrodiff.training.tasks.denoise import Denoise

BATCH_SIZE, BUCKET, DEPTH = 2, 256, 4
CHANGES = {
    "batch size": ("batch", (1, 2, 4, 8)),
    "note tokens": ("bucket", (128, 256, 512, 1024, 2048)),
    "layers per stack": ("layers", (2, 4, 8, 12)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, help="size of the network (default: width 256)")
    parser.add_argument("--steps", type=int, default=5, help="number of timed steps per row")
    parser.add_argument("--picture", type=Path, help="file to plot the times to")
    arguments = parser.parse_args()
    network = (
        Network(size=arguments.size)
        if arguments.size
        else Network(size="small", width=256, heads=4, mlp_width=512)
    )
    print(f"defaults: batch size {BATCH_SIZE}, {BUCKET} note tokens, {DEPTH} layers per stack\n")
    print("| changed | to | s per step | per unit |")
    print("|---|---:|---:|---:|")
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, (setting, sizes) in CHANGES.items():
        for size in sizes:
            median = seconds(network, arguments.steps, **{setting: size})
            curves.setdefault(name, []).append((size, median))
            print(f"| {name} | {size} | {median:.3f} | {median / size:.5f} |", flush=True)
    if arguments.picture:
        plot(curves, arguments.picture)


def seconds(
    network: Network,
    steps: int,
    *,
    batch: int = BATCH_SIZE,
    bucket: int = BUCKET,
    layers: int = DEPTH,
) -> float:
    """Returns the median time of a step in seconds."""
    network = dataclasses.replace(network, encoder_layers=layers, decoder_layers=layers)
    training, optimization = Training(batch_size=batch), Optimization()
    task = Denoise(config=network.config(), dtype=training.dtype, remat=training.remat)
    optimizer = make_optimizer(optimization, learning_rate(optimization, training.steps))
    mesh = make_mesh(jax.devices()[:1])
    state = place_state(initial_params(task, 0), optimizer, Placement(mesh))
    step = make_train_step(task, optimizer, mesh, shardings_of(state), training, optimization)
    inputs = examples(task.sizes, batch, bucket, bucket)
    measured = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        state, metrics = step(state, inputs, task.frozen)
        jax.block_until_ready((state, metrics))
        measured.append(time.perf_counter() - start)
    return statistics.median(measured[1:])  # the first one compiles


def plot(curves: dict[str, list[tuple[int, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, (name, curve) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        axes.plot(*zip(*curve, strict=True), marker="o")
        axes.set_xlabel(name)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        axes.set_ylabel("seconds per step")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
