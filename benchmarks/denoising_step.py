"""Time of a guided denoising step at the paper's sizes, compared with the port in diffusers.

The PyTorch port has no guidance, which takes two evaluations per step, and pads notes to 2048. It
runs in another Python with torch and diffusers:

    python -m venv /tmp/port && /tmp/port/bin/pip install torch diffusers transformers
    python benchmarks/denoising_step.py --port_python /tmp/port/bin/python

Both processes take turns, so that other load on the machine affects both. The table has the
shortest times, which are affected least.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

from worker import Worker

NOTE_TOKENS, CONTEXT_FRAMES, STEPS = 400, 256, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--rounds", type=int, default=6, help="number of measurements")
    parser.add_argument("--port_python", help="Python with torch and diffusers")
    parser.add_argument("--role", choices=["ours", "port"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        serve(arguments.role, arguments.sizes[0])
        return
    print(
        "| size | ours, s per guided step | diffusers, s per 2 evaluations | ratio | memory, GB |"
    )
    print("|---|---:|---:|---:|---:|")
    for size in arguments.sizes:
        compare(size, arguments.rounds, arguments.port_python)


def compare(size: str, rounds: int, port_python: str | None) -> None:
    ours = worker(sys.executable, "ours", size)
    port = worker(port_python, "port", size) if port_python else None
    ours_seconds, port_seconds = [], []
    for _ in range(rounds):
        ours_seconds.append(ours.ask("measure")["seconds"])
        if port:
            port_seconds.append(port.ask("measure")["seconds"])
    memory = ours.ask("measure")["gigabytes"]
    ours_best, port_best = min(ours_seconds), min(port_seconds, default=float("nan"))
    print(
        f"| {size} | {ours_best:.3f} | {port_best:.3f} | {port_best / ours_best:.1f} "
        f"| {memory:.2f} |",
        flush=True,
    )
    ours.stop()
    if port:
        port.stop()


def worker(python: str, role: str, size: str) -> Worker:
    """Starts a process that runs `serve`."""
    return Worker([python, str(Path(__file__).resolve()), "--role", role, "--sizes", size])


def serve(role: str, size: str) -> None:
    """Prints time per step and peak memory for each line of input."""
    step = {"ours": our_step, "port": port_step}[role](size)
    step()  # compiles
    for _ in sys.stdin:
        start = time.perf_counter()
        evaluations = step()
        seconds = (time.perf_counter() - start) / evaluations
        gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"seconds": seconds, "gigabytes": gigabytes}), flush=True)


def our_step(size: str):
    import jax
    import numpy as np

    from spectrodiff.checkpoints.tree import expected_shapes, nest
    from spectrodiff.core.parallel import make_mesh, replicated
    from spectrodiff.diffusion.sampler import Sampler
    from spectrodiff.diffusion.schedule import CosineSchedule
    from spectrodiff.models.config import SIZES
    from spectrodiff.models.padding import note_bucket
    from spectrodiff.synthesis.parameters import place
    from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
    from spectrodiff.synthesis.segments.model import SegmentBatch

    config, rng = SIZES[size], np.random.default_rng(0)

    def random(shape):
        scale = np.float32(shape[-2] ** -0.5 if len(shape) > 1 else 1)
        return rng.standard_normal(shape, np.float32) * scale

    params = nest({name: random(shape) for name, shape in expected_shapes(config).items()})
    devices = jax.devices()[:1]
    model = DiffusionSegments(
        config,
        place(params, replicated(make_mesh(devices)), "float32", consume=True),
        schedule=CosineSchedule(),
        prediction="eps",
        sampler=Sampler("ddpm", STEPS),
        guidance=2.0,
        dtype=jax.numpy.float32,
        mesh=make_mesh(devices),
    )
    tokens = np.zeros((1, note_bucket(NOTE_TOKENS, config.note_tokens)), np.int32)
    tokens[:, :NOTE_TOKENS] = rng.integers(3, 1000, NOTE_TOKENS)
    batch = SegmentBatch(
        tokens,
        rng.uniform(-1, 1, (1, CONTEXT_FRAMES, config.mel_bins)).astype(np.float32),
        np.ones((1, CONTEXT_FRAMES), bool),
        jax.random.key(0)[None],
    )

    segment = model.prepare(batch)

    def step() -> int:
        # Without the encoders, which run once per segment, like on the other side.
        jax.block_until_ready(model.sample(segment))
        return STEPS

    return step


def port_step(size: str):
    import torch
    from diffusers import T5FilmDecoder

    sizes = {
        "small": {"d_model": 512, "num_layers": 8, "num_heads": 6, "d_ff": 1024},
        "base": {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_ff": 2048},
    }[size]
    decoder = T5FilmDecoder(
        input_dims=128, targets_length=256, max_decoder_noise_time=20000.0, d_kv=64, **sizes
    ).eval()
    width = sizes["d_model"]
    note_mask = torch.cat([torch.ones(1, NOTE_TOKENS), torch.zeros(1, 2048 - NOTE_TOKENS)], 1)
    encodings = [
        (torch.randn(1, 2048, width), note_mask),
        (torch.randn(1, CONTEXT_FRAMES, width), torch.ones(1, CONTEXT_FRAMES)),
    ]
    noisy = torch.randn(1, 256, 128)

    def step() -> int:
        with torch.no_grad():
            for _ in range(2):
                decoder(
                    encodings_and_masks=encodings,
                    decoder_input_tokens=noisy,
                    decoder_noise_time=torch.tensor([0.5]),
                )
        return 1

    return step


if __name__ == "__main__":
    main()
