"""Speed of MT3's decoding of the 1024 tokens of a segment, with and without a key-value cache.

    python benchmarks/mt3_decoding.py

The weights are random, of the published size, and never end a segment. Without cache, the decoder
runs over all previous tokens for each token, padded to the next multiple of 128. Because that takes
many minutes, each of the eight lengths is timed once and counted 128 times. In both cases, the
segment is encoded once.
"""

import argparse
import dataclasses

import jax
import numpy as np
from timing import best_seconds

from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import define, init_params
from spectrodiff.models.mt3 import MT3, Mt3, decode_greedily
from spectrodiff.music.vocabulary import END_ID

LENGTH_STEP = 128
RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--size", default="small", choices=SIZES)
    arguments = parser.parse_args()
    sizes = dataclasses.asdict(SIZES[arguments.size])
    kept = ("mel_bins", "target_frames", "note_tokens", "context_frames")
    config = dataclasses.replace(MT3, **{k: v for k, v in sizes.items() if k not in kept})
    print("| segments at once | cached, s | without cache, s | ratio | cached, tokens/s |")
    print("|---:|---:|---:|---:|---:|")
    for batch in arguments.batches:
        cached, uncached = measure(config, batch)
        print(
            f"| {batch} | {cached:.1f} | {uncached:.1f} | {uncached / cached:.1f} "
            f"| {batch * config.note_tokens / cached:.0f} |",
            flush=True,
        )


def measure(config, batch: int) -> tuple[float, float]:
    """Returns the seconds to decode a batch of segments, with and without cache."""
    params = never_ending(init_params(Mt3, config, 0))
    definition = define(Mt3, config)
    rng = np.random.default_rng(0)
    shape = (batch, config.target_frames, config.mel_bins)
    features = rng.normal(-4, 3, shape).astype(np.float32)

    @jax.jit
    def decode(params, features):
        return decode_greedily(definition.merge(params), features, config.note_tokens)

    @jax.jit
    def encode(params, features):
        model = definition.merge(params)
        return model.decoder.memory(model.encoder(features))

    @jax.jit
    def next_token(params, tokens, cross):
        return definition.merge(params).decoder(tokens, cross)[:, -1].argmax(axis=-1)

    cached = best_seconds(lambda: decode(params, features), RUNS)
    tokens = decode(params, features)
    assert not (tokens == END_ID).any()
    cross = encode(params, features)
    uncached = best_seconds(lambda: encode(params, features), RUNS) + sum(
        LENGTH_STEP * best_seconds(lambda: next_token(params, tokens[:, :length], cross), RUNS)  # noqa: B023
        for length in range(LENGTH_STEP, config.note_tokens + 1, LENGTH_STEP)
    )
    return cached, uncached


def never_ending(params):
    """Sets the logit of the end to half of another one, so that it is never the largest."""
    kernel = params["decoder"]["output"]["kernel"]
    params["decoder"]["output"]["kernel"] = kernel.at[:, END_ID].set(kernel[:, END_ID + 1] / 2)
    return params


if __name__ == "__main__":
    main()
