"""Errors of a synthesiser on held-out pieces."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.core.constants import EXTRA_FRAMES, HOP_SAMPLES
from spectrodiff.core.errors import CorpusError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.recipe.pieces import Piece
from spectrodiff.recipe.trainer import compile_quickly
from spectrodiff.training.examples import Batch, ExampleSizes, read_examples
from spectrodiff.training.state import Params
from spectrodiff.training.tasks.denoise import Denoise

Gap = Callable[[Params, Batch], dict[str, jax.Array]]

EXAMPLES = 64
# Whose notes an example gets instead of its own: those so many rows before.
_OTHER = 7


def held_out_examples(pieces: Sequence[Piece], sizes: ExampleSizes, tokens: int) -> Batch:
    """Examples spread over pieces, as `training.examples.read_examples` takes them.

    Args:
        pieces: held out.
        sizes: of the network's segments.
        tokens: length that tokens are padded to.

    Returns:
        64 examples; where the pieces have fewer, some of them twice.

    Raises:
        CorpusError: if there is none.
    """
    there = [(piece, number) for piece in pieces for number in range(len(piece.starts))]
    if not there:
        raise CorpusError("held-out pieces", f"examples of up to {tokens} tokens", "none")
    chosen = [there[place * len(there) // EXAMPLES] for place in range(EXAMPLES)]
    lead, frames = sizes.context_frames, sizes.context_frames + sizes.target_frames + EXTRA_FRAMES
    batch: dict[str, list[np.ndarray]] = {"tokens": [], "audio": [], "context_frames": []}
    for piece, number in chosen:
        start, own = int(piece.starts[number]), piece.tokens[number]
        audio = np.pad(piece.audio, (lead * HOP_SAMPLES, frames * HOP_SAMPLES))
        batch["tokens"].append(np.pad(own, (0, tokens - len(own))).astype(np.int32))
        batch["audio"].append(audio[start * HOP_SAMPLES :][: frames * HOP_SAMPLES])
        batch["context_frames"].append(np.array(min(start, lead), np.int32))
    return {name: jnp.asarray(np.stack(rows)) for name, rows in batch.items()}


def compile_gap(task: Denoise, params: Params, tokens: int) -> Gap:
    """Compiles the mean errors of x0 with an example's own and with another's notes.

    Args:
        task: knows the network.
        params: its parameters, or their shapes.
        tokens: length that tokens are padded to.

    Returns:
        From parameters and `held_out_examples` to scalars, as `Denoise.notes_gap` names them.
    """
    sizes, mesh = task.sizes, make_mesh(jax.devices()[:1])
    keys = jax.random.split(jax.random.key(0), EXAMPLES)

    def gap(params: Params, batch: Batch) -> dict[str, jax.Array]:
        examples = read_examples(batch, sizes, mesh)
        others = jnp.roll(examples.tokens, _OTHER, axis=0)
        errors = task.notes_gap(params, examples, others, keys)
        return {name: value.mean() for name, value in errors.items()}

    samples = (sizes.context_frames + sizes.target_frames + EXTRA_FRAMES) * HOP_SAMPLES
    shapes = {
        "tokens": jax.ShapeDtypeStruct((EXAMPLES, tokens), jnp.int32),
        "audio": jax.ShapeDtypeStruct((EXAMPLES, samples), jnp.int16),
        "context_frames": jax.ShapeDtypeStruct((EXAMPLES,), jnp.int32),
    }
    return compile_quickly(jax.jit(gap), params, shapes)
