"""A beginning from which notes are soon found at their places.

What a decoder has to learn first is where in time a note token belongs: that its `shift` token, one
of a thousand with embeddings of their own, means a certain row of the decoder's positions, and that
queries and keys should meet where the two agree. Nothing of this has to be learnt from nothing:

- a `shift` token begins with the decoder's position of its frame as its embedding;
- the query and key kernels of every attention begin as the same matrix, so that what is alike
  attends to each other (Trockman and Kolter, "Mimetic initialization of self-attention layers",
  2023). In the encoders that is neighbours, which is how pitches hear of their shift.

The tree, the names and the shapes of the parameters stay as they are.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.features import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.vocabulary import MAX_SHIFT_STEPS, RELEASED_VOCABULARY, STEPS_PER_SECOND

Params = dict[str, Any]


def align(params: Params) -> Params:
    """Parameters before training (see `denoiser.init_params`), with time and attention aligned."""
    params = _tie_queries(params)
    encoder, decoder = params["note_encoder"], params["decoder"]
    embedding = _shift_embeddings(encoder["embedding"], decoder["positions"])
    return {**params, "note_encoder": {**encoder, "embedding": embedding}}


def _shift_embeddings(embedding: jax.Array, positions: jax.Array) -> jax.Array:
    """Gives every shift inside a segment the position row of its time, [rows, D].

    Half frames lie between two rows. As loud as what they replace: unit variance.
    """
    steps = np.arange(MAX_SHIFT_STEPS + 1)
    frames = steps * (SAMPLE_RATE / HOP_SAMPLES / STEPS_PER_SECOND)
    inside = frames <= len(positions) - 1
    steps, frames = steps[inside], frames[inside]
    before = frames.astype(int)
    after = np.ceil(frames).astype(int)
    share = (frames - before)[:, None].astype(np.float32)
    rows = (1 - share) * positions[before] + share * positions[after]
    rows /= jnp.sqrt(jnp.mean(jnp.square(rows), axis=1, keepdims=True))
    ids = RELEASED_VOCABULARY.encode("shift", steps)
    return embedding.at[ids].set(rows)


def _tie_queries(params: Params) -> Params:
    """Every query kernel [..., D, H K] becomes its key kernel, at the scale it had."""
    if "query" in params and "key" in params:
        query, key = params["query"]["kernel"], params["key"]["kernel"]
        tied = key * (jnp.std(query) / jnp.std(key))
        return {**params, "query": {"kernel": tied}}
    return {
        name: _tie_queries(value) if isinstance(value, dict) else value
        for name, value in params.items()
    }
