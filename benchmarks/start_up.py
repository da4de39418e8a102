"""Time and memory until the first segment is rendered, with a cold and a warm compilation cache.

    python benchmarks/start_up.py

stores a model of the given size with random weights. Two processes load it and render a segment
with one compilation cache: the first fills the cache, the second finds all programs in it.
"""

import argparse
import collections
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SONG = ROOT / "examples" / "bach_prelude_in_c.mid"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small")
    parser.add_argument("--model", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.model:
        render_first_segment(arguments.model)
        return
    with tempfile.TemporaryDirectory() as folder:
        store_random_model(arguments.size, Path(folder) / "model")
        print("| cache | loading, s | first segment, s | compiled | from the cache | memory, GB |")
        print("|---|---:|---:|---:|---:|---:|")
        for state in ("cold", "warm"):
            done = subprocess.run(
                [sys.executable, __file__, "--model", str(Path(folder) / "model")],
                env={**os.environ, "SPECTRODIFF_CACHE": f"{folder}/cache"},
                stdout=subprocess.PIPE,
                check=True,
            )
            row = json.loads(done.stdout)
            print(
                f"| {state} | {row['load']:.1f} | {row['first']:.1f} | {row['compiled']} "
                f"| {row['hits']} | {row['memory']:.2f} |",
                flush=True,
            )


def store_random_model(size: str, folder: Path) -> None:
    import numpy as np

    from spectrodiff.checkpoints.layouts.store import save_model
    from spectrodiff.checkpoints.model import Checkpoint
    from spectrodiff.checkpoints.tree import expected_shapes, nest
    from spectrodiff.models.config import SIZES

    rng = np.random.default_rng(0)
    shapes = expected_shapes(SIZES[size])
    params = {name: 0.03 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    save_model(Checkpoint(SIZES[size], nest(params)), folder)


def render_first_segment(model: str) -> None:
    from spectrodiff.core.runtime import enable_compilation_cache

    enable_compilation_cache()
    import jax

    counts: collections.Counter[str] = collections.Counter()
    jax.monitoring.register_event_listener(lambda name, **_: counts.update([name]))
    from spectrodiff.synthesis.loading import load

    start = time.perf_counter()
    synth = load(model, inverter="griffin-lim")
    loaded = time.perf_counter()
    next(synth.stream(SONG, steps=2))
    hits = counts["/jax/compilation_cache/cache_hits"]
    misses = counts["/jax/compilation_cache/cache_misses"]
    print(
        json.dumps(
            {
                "load": loaded - start,
                "first": time.perf_counter() - loaded,
                "compiled": misses,
                "hits": hits,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
