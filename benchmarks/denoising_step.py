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
import os
import resource
import sys
import time
from pathlib import Path

from worker import Worker

NOTE_TOKENS, CONTEXT_FRAMES, STEPS = 400, 256, 20  # per segment of 256 frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["mini", "small", "base"])
    parser.add_argument("--rounds", type=int, default=6, help="number of measurements")
    parser.add_argument("--port_python", help="Python with torch and diffusers")
    parser.add_argument("--role", choices=["ours", "port"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        serve(arguments.role, arguments.sizes[0])
        return
    print(f"Processor: {processor()}\n")
    print(
        "| size | ours, s per guided step | share of the matrix rate "
        "| diffusers, s per 2 evaluations | ratio | memory, GB |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for size in arguments.sizes:
        compare(size, arguments.rounds, arguments.port_python)


def compare(size: str, rounds: int, port_python: str | None) -> None:
    ours = worker(sys.executable, "ours", size)
    port = worker(port_python, "port", size) if port_python and size != "mini" else None
    answers, port_seconds = [], []
    for _ in range(rounds):
        answers.append(ours.ask("measure"))
        if port:
            port_seconds.append(port.ask("measure")["seconds"])
    ours_best, port_best = (
        min(seconds, default=float("nan"))
        for seconds in ([answer["seconds"] for answer in answers], port_seconds)
    )
    rate = max(answer["rate"] for answer in answers)
    share = answers[0]["flops"] / ours_best / rate
    print(
        f"| {size} | {ours_best:.4f} | {100 * share:.0f} % of {rate / 1e9:.0f} GFLOP/s "
        f"| {port_best:.3f} | {port_best / ours_best:.1f} | {answers[-1]['gigabytes']:.2f} |",
        flush=True,
    )
    ours.stop()
    if port:
        port.stop()


def worker(python: str, role: str, size: str) -> Worker:
    """Starts a process that runs `serve`."""
    return Worker([python, str(Path(__file__).resolve()), "--role", role, "--sizes", size])


def serve(role: str, size: str) -> None:
    """Prints time per step and peak memory for each line of input, ours also the matrix rate."""
    step, flops = {"ours": our_step, "port": port_step}[role](size)
    step()  # compiles
    rate = matrix_rate if role == "ours" else lambda: 0.0
    for _ in sys.stdin:
        start = time.perf_counter()
        evaluations = step()
        seconds = (time.perf_counter() - start) / evaluations
        gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        answer = {"seconds": seconds, "gigabytes": gigabytes, "flops": flops, "rate": rate()}
        print(json.dumps(answer), flush=True)


def matrix_rate(width: int = 2048, products: int = 4) -> float:
    """Returns the operations per second of float32 products of large matrices, the best of some."""
    import jax
    from timing import best_seconds

    matrix = jax.random.normal(jax.random.key(0), (width, width))
    return 2 * width**3 / best_seconds(lambda: matrix @ matrix, products)


def processor() -> str:
    """Returns the name of the processor, its number of cores, and its vector instructions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    values = dict(line.split(": ", 1) for line in lines if ": " in line)
    values = {name.strip(): value for name, value in values.items()}
    vectors = [name for name in ("avx2", "avx512f", "amx_tile") if name in values["flags"].split()]
    return f"{values['model name']}, {os.cpu_count()} cores, {' '.join(vectors)}"


def our_step(size: str):
    import jax
    import numpy as np
    from counting import guided_step_flops

    from spectrodiff.checkpoints.resolve import open_checkpoint
    from spectrodiff.checkpoints.tree import expected_shapes, nest
    from spectrodiff.core.parallel import make_mesh, replicated
    from spectrodiff.diffusion.sampling import Sampling
    from spectrodiff.diffusion.schedule import CosineSchedule
    from spectrodiff.models.config import SIZES
    from spectrodiff.models.padding import note_bucket
    from spectrodiff.synthesis.parameters import place
    from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
    from spectrodiff.synthesis.segments.model import SegmentBatch

    config = open_checkpoint("mini").config if size == "mini" else SIZES[size]
    # A segment of `mini` is shorter.
    notes = NOTE_TOKENS * config.target_frames // SIZES["base"].target_frames
    rng = np.random.default_rng(0)

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
        sampling=Sampling("ddpm", STEPS, guidance=2.0),
        dtype=jax.numpy.float32,
        mesh=make_mesh(devices),
    )
    tokens = np.zeros((1, note_bucket(notes, config.note_tokens)), np.int32)
    tokens[:, :notes] = rng.integers(3, 1000, notes)
    context = rng.uniform(-1, 1, (1, config.context_frames, config.mel_bins))
    batch = SegmentBatch(
        tokens,
        context.astype(np.float32),
        np.ones((1, config.context_frames), bool),
        jax.random.key(0)[None],
    )

    segment = model.prepare(batch)

    def step() -> int:
        # Without the encoders, which run once per segment, like on the other side.
        jax.block_until_ready(model.sample(segment))
        return STEPS

    return step, guided_step_flops(config, 1, tokens.shape[1])


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

    return step, 0.0


if __name__ == "__main__":
    main()
