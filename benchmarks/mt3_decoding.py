"""Time saved by the cache of keys and values when MT3 decodes the 1024 tokens of a segment.

    python benchmarks/mt3_decoding.py

Random weights of the published size, that never end a segment. Decoding without cache runs the
decoder over everything written so far for each token, padded to the next multiple of 128 tokens;
since that takes many minutes, each of the eight lengths is timed and counted 128 times. The segment
is encoded once in either case.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

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
    """Seconds to write all tokens of a batch of segments, with and without cache."""
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

    cached = best_seconds(lambda: decode(params, features))
    tokens = decode(params, features)
    assert not (tokens == END_ID).any()
    cross = encode(params, features)
    uncached = best_seconds(lambda: encode(params, features)) + sum(
        LENGTH_STEP * best_seconds(lambda: next_token(params, tokens[:, :length], cross))  # noqa: B023
        for length in range(LENGTH_STEP, config.note_tokens + 1, LENGTH_STEP)
    )
    return cached, uncached


def never_ending(params):
    """The end's logit is half of another one's: never the largest, which is above zero."""
    kernel = params["decoder"]["output"]["kernel"]
    params["decoder"]["output"]["kernel"] = kernel.at[:, END_ID].set(kernel[:, END_ID + 1] / 2)
    return params


def best_seconds(function: Callable[[], jnp.ndarray]) -> float:
    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function())
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(RUNS))


if __name__ == "__main__":
    main()
