"""Errors of a synthesizer on held-out songs."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.core.constants import EXTRA_FRAMES, HOP_SAMPLES
from spectrodiff.core.errors import CorpusError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.recipe.songs import RenderedSong
from spectrodiff.recipe.trainer import compile_quickly
from spectrodiff.training.examples import Batch, ExampleSizes, read_examples
from spectrodiff.training.task import Params, Scores
from spectrodiff.training.tasks.denoise import Denoise

EXAMPLES = 64
# Distance, in rows of the batch, of the example whose notes replace an example's own.
_OTHER = 7


def held_out_examples(songs: Sequence[RenderedSong], sizes: ExampleSizes, tokens: int) -> Batch:
    """Returns 64 examples spread over songs, as `training.examples.read_examples` takes them.

    Args:
        songs: held-out songs; if they have fewer examples, some examples are repeated.
        sizes: lengths of the examples.
        tokens: length that tokens are padded to.

    Raises:
        CorpusError: if there are no examples.
    """
    available = [(song, number) for song in songs for number in range(len(song.starts))]
    if not available:
        raise CorpusError("held-out songs", f"examples of up to {tokens} tokens", "none")
    chosen = [available[place * len(available) // EXAMPLES] for place in range(EXAMPLES)]
    lead, frames = sizes.context_frames, sizes.context_frames + sizes.target_frames + EXTRA_FRAMES
    batch: dict[str, list[np.ndarray]] = {"tokens": [], "audio": [], "context_frames": []}
    for song, number in chosen:
        start, own = int(song.starts[number]), song.tokens[number]
        audio = np.pad(song.audio, (lead * HOP_SAMPLES, frames * HOP_SAMPLES))
        batch["tokens"].append(np.pad(own, (0, tokens - len(own))).astype(np.int32))
        batch["audio"].append(audio[start * HOP_SAMPLES :][: frames * HOP_SAMPLES])
        batch["context_frames"].append(np.array(min(start, lead), np.int32))
    return {name: jnp.asarray(np.stack(rows)) for name, rows in batch.items()}


def compile_notes_gap(
    task: Denoise, params: Params, tokens: int
) -> Callable[[Params, Batch], Scores]:
    """Compiles the mean of `Denoise.notes_gap` over `held_out_examples`.

    Args:
        task: computes the errors.
        params: parameters of the network, or their shapes.
        tokens: length that tokens are padded to.

    Returns:
        A function from parameters and examples to scalars by name.
    """
    sizes, mesh = task.sizes, make_mesh(jax.devices()[:1])
    keys = jax.random.split(jax.random.key(0), EXAMPLES)

    def notes_gap(params: Params, batch: Batch) -> Scores:
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
    return compile_quickly(jax.jit(notes_gap), params, shapes)
