"""Memory of a training step on a GPU, computed from what the forward pass keeps.

    python benchmarks/training_memory.py --json out/training_memory.json

Nothing is trained or compiled, and no GPU is needed: loss and gradient are traced as on a GPU with
cuDNN's attention. The Markdown tables say, in GB of 10^9 bytes,

- kept: arrays of one example that the forward pass keeps for the backward pass. They are the
  outputs of the traced function that `jax.vjp` makes, without parameters, counted once each. Of an
  attention in 16 bits these are what the fused kernel keeps: query, key, value, output, and the
  logarithm of a sum for each query;
- state: parameters, their gradients, the state of the optimizer, and 16-bit copies of parameters
  that the forward pass keeps. On many devices with `Training.shard_parameters` most of it is
  divided by their number; that is not in the table;
- the largest batch on one GPU whose state, kept arrays and working memory fit into 75 % of its
  memory, the share that JAX takes unless it is told otherwise. Working memory is counted as the
  gradients of the activations of one layer, as large as what the layer keeps; with `remat` also its
  activations, which are computed again.

Not counted: audio and features of the batch, what the compiler loses between arrays or saves by
fusing, and workspaces of kernels. For steps that kept all logits, this count gives 43.4 and 30.9
GiB where an H200 took 41.9 and 29.7 (base, batch 32, and small, batch 64; bfloat16, 512 notes).
"""

import argparse
import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax._src.cudnn import fused_attention_stablehlo

from spectrodiff.checkpoints.tree import expected_shapes, nest
from spectrodiff.core.constants import HOP_SAMPLES
from spectrodiff.models import attention
from spectrodiff.models.config import SIZES, ModelConfig
from spectrodiff.models.padding import note_bucket
from spectrodiff.synthesis.parameters import compute_type
from spectrodiff.training.examples import Examples
from spectrodiff.training.optimizers import join_fixed, learning_rate, make_optimizer, split_fixed
from spectrodiff.training.settings import Optimization
from spectrodiff.training.tasks.denoise import Denoise

NOTES = (400, 2048)
GPU_GIGABYTES = (24, 40, 80)
JAX_SHARE = 0.75
PRECISIONS = ("float32", "bfloat16")

# Size of the traced batch: a prime number that divides no size of the networks, so that the arrays
# whose size it divides are those of the examples.
BATCH = 1009


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of a training step."""

    size: str
    precision: str
    remat: bool
    note_tokens: int  # as padded
    kept: int  # per example
    working: int  # per example
    state: int

    def batch(self, gigabytes: float) -> int:
        """Returns the largest batch that fits into a GPU, 0 if none does."""
        free = JAX_SHARE * gigabytes * 1e9 - self.state
        return max(int(free // (self.kept + self.working)), 0)


class Kept(NamedTuple):
    """Bytes that a forward pass keeps: of each example, and of the whole batch together."""

    example: int
    shared: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["small", "base"], choices=SIZES)
    parser.add_argument("--json", type=Path, help="file for the numbers in bytes")
    arguments = parser.parse_args()
    rows = [
        memory(size, precision, remat, notes)
        for size in arguments.sizes
        for precision in PRECISIONS
        for remat in (False, True)
        for notes in NOTES
    ]
    states = {size: state_bytes(SIZES[size]) for size in arguments.sizes}
    print(batch_table(rows))
    print()
    print(state_table(states))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        steps = [
            {**dataclasses.asdict(row), "batch": {gb: row.batch(gb) for gb in GPU_GIGABYTES}}
            for row in rows
        ]
        arguments.json.write_text(json.dumps({"steps": steps, "state": states}, indent=1) + "\n")


def memory(size: str, precision: str, remat: bool, notes: int) -> Memory:
    """Counts a training step with Adafactor.

    Args:
        size: name in `SIZES`.
        precision: name in `PRECISIONS`.
        remat: whether activations are computed again in the backward pass.
        notes: number of note tokens before padding.
    """
    config, dtype = SIZES[size], compute_type(precision)
    length = note_bucket(notes, config.note_tokens)
    kept = kept_bytes(config, dtype, remat, length)
    layer = layer_bytes(config, dtype, length)
    sums = state_bytes(config)
    state = sums["parameters"] + sums["gradients"] + sums["adafactor"] + kept.shared
    return Memory(size, precision, remat, length, kept.example, layer * (1 + remat), state)


def kept_bytes(config: ModelConfig, dtype: Any, remat: bool, length: int) -> Kept:
    """Counts what the forward pass of the loss keeps for the backward pass.

    Args:
        config: sizes.
        dtype: type of the matrix products.
        remat: whether activations are computed again in the backward pass.
        length: number of note tokens, with padding.
    """
    task = Denoise(config=config, dtype=dtype, remat=remat)
    trained, fixed = split_fixed(abstract_params(config))

    def kept(trained: Any, fixed: Any, examples: Examples) -> list[jax.Array]:
        def loss(trained: Any) -> jax.Array:
            return task.loss(join_fixed(trained, fixed), examples, jax.random.key(0))["loss"]

        return jax.tree.leaves(jax.vjp(loss, trained)[1])

    with as_on_gpu():
        jaxpr = jax.make_jaxpr(kept)(trained, fixed, abstract_examples(config, length)).jaxpr
    given = set(map(id, jaxpr.invars))
    arrays = {id(array): array.aval for array in jaxpr.outvars if id(array) not in given}
    sizes = [array.size * array.dtype.itemsize for array in arrays.values()]
    of_examples = sum(size for size in sizes if size % BATCH == 0)
    return Kept(of_examples // BATCH, sum(sizes) - of_examples)


@functools.lru_cache
def layer_bytes(config: ModelConfig, dtype: Any, length: int) -> int:
    """Counts what the layer that keeps most keeps of an example: of the note encoder or decoder."""

    def example(**changes: int) -> int:
        return kept_bytes(dataclasses.replace(config, **changes), dtype, False, length).example

    few = {"encoder_layers": 1, "decoder_layers": 1}
    # Without context, so that only one of the encoders has another layer.
    encoder = {"context_frames": 0, **few}
    return max(
        example(**{**encoder, "encoder_layers": 2}) - example(**encoder),
        example(**{**few, "decoder_layers": 2}) - example(**few),
    )


def state_bytes(config: ModelConfig) -> dict[str, int]:
    """Counts parameters, gradients, and the states of Adafactor and AdamW."""
    params = abstract_params(config)
    trained, _ = split_fixed(params)
    optimizers = {}
    for name in ("adafactor", "adamw"):
        settings = Optimization(optimizer=name)
        optimizer = make_optimizer(settings, learning_rate(settings, 1))
        optimizers[name] = total_bytes(jax.eval_shape(optimizer.init, trained))
    return {"parameters": total_bytes(params), "gradients": total_bytes(trained), **optimizers}


def total_bytes(tree: Any) -> int:
    """Returns the bytes of all arrays of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def abstract_params(config: ModelConfig) -> Any:
    """Returns the shapes of the parameters."""
    shapes = expected_shapes(config)
    return nest({name: jax.ShapeDtypeStruct(shapes[name], jnp.float32) for name in shapes})


def abstract_examples(config: ModelConfig, length: int) -> Examples:
    """Returns the shapes of a batch."""
    C, F, M = config.context_frames, config.target_frames, config.mel_bins

    def array(shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct((BATCH, *shape), dtype)

    return Examples(
        tokens=array((length,), jnp.int32),
        context=array((C, M), jnp.float32) if C else None,
        context_mask=array((C,), jnp.bool) if C else None,
        log_mel=array((F, M), jnp.float32),
        audio=array((F * HOP_SAMPLES,), jnp.int16),
    )


@contextlib.contextmanager
def as_on_gpu() -> Iterator[None]:
    """Traces networks as on a GPU with cuDNN's attention, whose version JAX asks for."""
    with (
        mock.patch.object(jax, "default_backend", return_value="gpu"),
        mock.patch.object(attention, "has_fused_kernel", return_value=True),
        mock.patch.object(fused_attention_stablehlo, "check_cudnn_version", return_value=91000),
    ):
        yield


def batch_table(rows: list[Memory]) -> str:
    """Returns a table of networks, with all numbers of notes in a row."""
    gpus = ", ".join(map(str, GPU_GIGABYTES))
    notes = [f"{count} notes" for count in NOTES]
    lines = [
        "| network | precision | remat | "
        + " | ".join(f"GB per example, {count}" for count in notes)
        + " | "
        + " | ".join(f"batch in {gpus} GB, {count}" for count in notes)
        + " |",
        "|---|---|---|" + "---:|" * 2 * len(notes),
    ]
    for first in range(0, len(rows), len(NOTES)):
        group = rows[first : first + len(NOTES)]
        cells = [group[0].size, group[0].precision, "yes" if group[0].remat else "no"]
        cells += [f"{row.kept / 1e9:.2f}" for row in group]
        cells += [", ".join(str(row.batch(gb)) for gb in GPU_GIGABYTES) for row in group]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def state_table(states: dict[str, dict[str, int]]) -> str:
    """Returns a table of what does not depend on the batch."""
    names = list(next(iter(states.values())))
    lines = ["| GB | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for size, sums in states.items():
        lines.append(f"| {size} | " + " | ".join(f"{sums[n] / 1e9:.2f}" for n in names) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
