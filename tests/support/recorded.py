"""Segments with known frames that record what they were asked for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.synthesis.engine import Engine
from spectrodiff.synthesis.tuning import CPU
from tests.support.inverters import LoudnessInverter
from tests.support.reference import TINY_CONTEXT

FRAMES = 16  # 0.32 s
SEGMENT_SECONDS = 0.32


class RecordedSegments:
    """Generates frames that count up from segment to segment, whatever the tokens are.

    Attributes:
        tokens: those of each segment, without padding, as tuples.
        contexts: valid context frames of each segment, their first bin.
        keys: random keys of the segments, as numbers.
    """

    steps, num_devices, tuning = 1, 1, CPU

    def __init__(self, config, overlap=0):
        self.config, self.overlap = config, overlap
        self.tokens, self.contexts, self.keys = [], [], []

    def __call__(self, batch, on_steps=None):
        del on_steps
        (tokens,), (mask,) = np.asarray(batch.tokens), batch.context_mask
        first = (FRAMES - self.overlap) * len(self.tokens) - self.overlap
        self.tokens.append(tuple(tokens[tokens != 0].tolist()))
        self.contexts.append(np.asarray(batch.context)[0, mask, 0])
        self.keys.append(tuple(np.asarray(jax.random.key_data(batch.keys)).ravel().tolist()))
        values = (first + np.arange(FRAMES)) / 1000
        return jnp.asarray(np.tile(values[None, :, None], 128), jnp.float32)


def recorded_engine(tokenization=None, overlap=0, **config):
    """An engine whose segments are recorded, and the record."""
    sizes = dataclasses.replace(TINY_CONTEXT, **config)
    record = RecordedSegments(sizes, overlap)
    tokenization = tokenization or Tokenization(program_map="full")
    inverter = LoudnessInverter()
    sampling = Sampling(overlap=overlap)
    engine = Engine("recorded", sizes, tokenization, sampling, inverter, lambda _: record)
    return engine, record
