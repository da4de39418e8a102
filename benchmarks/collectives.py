"""Communication and memory of a training step by number of devices, parameters copied or split.

    python benchmarks/collectives.py --out out/collectives

Steps are compiled for virtual devices of a CPU, but not run. The compiler tells the memory that a
step takes on each device: its arguments (state and batch) and its temporary arrays. Collective
operations are counted in the compiled program, each with the size of the whole array. The CPU's
compiler gathers 16-bit numbers as 32 bits, and has no operation that reduces and scatters: arrays
are reduced whole, and each device keeps its part.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from counting import COLLECTIVES, collective_bytes

from spectrodiff.core.constants import EXTRA_FRAMES, HOP_SAMPLES
from spectrodiff.core.parallel import batch_split, make_mesh, shardings_of
from spectrodiff.models.config import SIZES
from spectrodiff.training.optimizers import learning_rate, make_optimizer
from spectrodiff.training.settings import Network, Optimization, Training
from spectrodiff.training.state import Placement, abstract_state
from spectrodiff.training.step import make_train_step
from spectrodiff.training.tasks.denoise import Denoise

MB = 1e6
# The machine code is never run.
QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0}


class Row(NamedTuple):
    """One compiled step; bytes are those of each device."""

    devices: int
    split: bool
    collective_bytes: dict[str, int]
    argument_bytes: int
    temporary_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    flags = parse_flags(arguments)
    if jax.config.jax_num_cpu_devices < max(flags.devices):
        jax.config.update("jax_num_cpu_devices", max(flags.devices))
    network = Network(
        size=flags.size, encoder_layers=flags.layers, decoder_layers=flags.layers, width=flags.width
    )
    training = Training(
        batch_size=flags.batch_size, precision=flags.precision, micro_batches=flags.micro_batches
    )
    optimization = Optimization(optimizer=flags.optimizer)
    depth = flags.layers or network.config().decoder_layers
    title = (
        f"{flags.size}, layers per stack: {depth}, batch size: {flags.batch_size}, "
        f"note tokens: {flags.note_tokens}, micro-batches: {flags.micro_batches}, "
        f"{flags.precision}, {flags.optimizer}"
    )
    rows = []
    for devices in flags.devices:
        for split in (False, True) if devices > 1 else (False,):
            compiled = compile_step(
                network, training, optimization, devices, flags.note_tokens, split=split
            )
            rows.append(measure(compiled, devices, split=split))
            print(line(rows[-1]), flush=True)
    flags.out.mkdir(parents=True, exist_ok=True)
    head = "| devices | parameters | communicated | arguments | temporary | together |"
    table = "\n".join([head, "|---:|---|---|---:|---:|---:|", *map(line, rows)])
    (flags.out / "collectives.md").write_text(f"{title}; MB per device and step\n\n{table}\n")
    results = {"title": title, "jax": jax.__version__, "rows": [row._asdict() for row in rows]}
    (flags.out / "collectives.json").write_text(json.dumps(results, indent=1) + "\n")


def parse_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--layers", type=int, help="of each stack (default: those of the size)")
    parser.add_argument("--width", type=int, help="of the network (default: that of the size)")
    parser.add_argument("--batch_size", type=int, default=128, help="over all devices")
    parser.add_argument("--note_tokens", type=int, default=256)
    parser.add_argument("--micro_batches", type=int, default=1)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--optimizer", default="adafactor", choices=("adafactor", "adamw", "muon"))
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    return parser.parse_args(arguments)


def compile_step(
    network: Network,
    training: Training,
    optimization: Optimization,
    devices: int,
    note_tokens: int,
    *,
    split: bool,
) -> jax.stages.Compiled:
    """Compiles a denoiser's training step, with parameters copied to the devices or split."""
    task = Denoise(config=network.config(), dtype=training.dtype, remat=training.remat)
    optimizer = make_optimizer(optimization, learning_rate(optimization, training.steps))
    mesh = make_mesh(jax.devices()[:devices])
    state = abstract_state(task, optimizer, Placement(mesh, split=split))
    step = make_train_step(task, optimizer, mesh, shardings_of(state), training, optimization)
    batch, sizes = training.batch_size, task.sizes
    samples = (sizes.context_frames + sizes.target_frames + EXTRA_FRAMES) * HOP_SAMPLES
    shapes = {
        "tokens": ((batch, note_tokens), np.int32),
        "audio": ((batch, samples), np.int16),
        "context_frames": ((batch,), np.int32),
    }
    examples = {
        name: jax.ShapeDtypeStruct(*shape, sharding=batch_split(mesh))
        for name, shape in shapes.items()
    }
    return step.lower(state, examples, {}).compile(compiler_options=QUICK_TO_COMPILE)


def measure(compiled: jax.stages.Compiled, devices: int, *, split: bool) -> Row:
    """Returns what a compiled step communicates and how much memory it takes."""
    memory = compiled.memory_analysis()
    return Row(
        devices,
        split,
        collective_bytes(compiled.as_text()),
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
    )


def line(row: Row) -> str:
    """Returns a row of the table, in MB."""
    parts = [
        f"{kind} {row.collective_bytes[kind] / MB:.1f}"
        for kind in COLLECTIVES
        if row.collective_bytes.get(kind)
    ]
    sizes = (row.argument_bytes, row.temporary_bytes, row.argument_bytes + row.temporary_bytes)
    numbers = " | ".join(f"{size / MB:.1f}" for size in sizes)
    placed = "split" if row.split else "copied"
    return f"| {row.devices} | {placed} | {', '.join(parts) or 'nothing'} | {numbers} |"


if __name__ == "__main__":
    main()
