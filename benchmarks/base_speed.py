"""Seconds of audio per second at base size with few evaluations, beside the port in diffusers.

    python benchmarks/base_speed.py --port_python PYTHON

(`denoising_step.py` says how to make that Python; the port's encoders need the versions
`diffusers==0.36.*` and `transformers==4.44.*`.) Both sides have random weights, a context of 256
frames and segments of 256 frames, and compute in float32, from tokens to features. Ours takes 4
evaluations of the network without guidance. The pipeline of the port takes 100 by default, without
guidance, too: its encoders and a few evaluations are timed, and the time of an evaluation is
multiplied by 100. The port pads notes to 2048 tokens; ours are measured with 2048 and with 400.
Both processes take turns, so that other load on the machine affects both.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worker import Worker

SEGMENT_SECONDS = 256 * 320 / 16_000
OURS, PORT = 4, 100  # evaluations per segment
TIMED = 2  # evaluations of the port per round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port_python", required=True, help="Python with torch and diffusers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--role", choices=["ours", "port"], help=argparse.SUPPRESS)
    parser.add_argument("--notes", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.role:
        serve({"ours": our_segment, "port": port_segment}[flags.role](flags.notes))
        return
    print("| note tokens | ours, s of audio per s | diffusers | times faster, median (range) |")
    print("|---:|---:|---:|---:|")
    for notes in (2048, 400):
        command = [str(Path(__file__).resolve()), "--notes", str(notes), "--port_python", ""]
        workers = [
            Worker([python, *command, "--role", role])
            for role, python in (("ours", sys.executable), ("port", flags.port_python))
        ]
        answers = [[worker.ask("measure") for worker in workers] for _ in range(flags.rounds)]
        for worker in workers:
            worker.stop()
        ours = [whole(one["encoders"], one["evaluation"], OURS) for one, _ in answers]
        port = [whole(other["encoders"], other["evaluation"], PORT) for _, other in answers]
        print(line_of(notes, ours, port), flush=True)


def whole(encoders: float, evaluation: float, evaluations: int) -> float:
    """Returns the seconds of a segment from those of its encoders and of one evaluation."""
    return encoders + evaluation * evaluations


def line_of(notes: int, ours: list[float], port: list[float]) -> str:
    """Returns a row of the table from the seconds per segment in each round."""
    ratios = [theirs / mine for theirs, mine in zip(port, ours, strict=True)]
    speeds = [SEGMENT_SECONDS / statistics.median(seconds) for seconds in (ours, port)]
    return (
        f"| {notes} | {speeds[0]:.2f} | {speeds[1]:.3f} "
        f"| {statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}) |"
    )


def serve(parts: tuple[Callable[[], object], Callable[[], object], int]) -> None:
    """Prints the seconds of the encoders and of an evaluation for each line of input."""
    encode, evaluate, evaluations = parts
    encode()  # compiles
    evaluate()
    for _ in sys.stdin:
        start = time.perf_counter()
        encode()
        encoded = time.perf_counter()
        evaluate()
        seconds = (time.perf_counter() - encoded) / evaluations
        print(json.dumps({"encoders": encoded - start, "evaluation": seconds}), flush=True)


def our_segment(notes: int) -> tuple[Callable[[], object], Callable[[], object], int]:
    import jax
    import numpy as np

    from spectrodiff.checkpoints.tree import expected_shapes, nest
    from spectrodiff.core.parallel import make_mesh
    from spectrodiff.diffusion.sampling import Sampling
    from spectrodiff.diffusion.schedule import CosineSchedule
    from spectrodiff.models.config import SIZES
    from spectrodiff.models.padding import note_bucket
    from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
    from spectrodiff.synthesis.segments.model import SegmentBatch

    config, rng = SIZES["base"], np.random.default_rng(0)
    shapes = expected_shapes(config)
    params = {name: 0.03 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    model = DiffusionSegments(
        config,
        nest(params),
        schedule=CosineSchedule(),
        prediction="eps",
        sampling=Sampling("ddim", OURS, guidance=1.0),
        dtype=jax.numpy.float32,
        mesh=make_mesh(jax.devices()[:1]),
    )
    tokens = np.zeros((1, note_bucket(notes, config.note_tokens)), np.int32)
    tokens[:, :notes] = rng.integers(3, 1000, notes)
    context = rng.uniform(-1, 1, (1, 256, 128)).astype(np.float32)
    batch = SegmentBatch(tokens, context, np.ones((1, 256), bool), jax.random.key(0)[None])
    prepared = model.prepare(batch)
    return (
        lambda: jax.block_until_ready(model.prepare(batch)),
        lambda: jax.block_until_ready(model.sample(prepared)),
        OURS,
    )


def port_segment(notes: int) -> tuple[Callable[[], object], Callable[[], object], int]:
    import torch
    from diffusers import T5FilmDecoder
    from diffusers.pipelines.deprecated.spectrogram_diffusion.continuous_encoder import (
        SpectrogramContEncoder,
    )
    from diffusers.pipelines.deprecated.spectrogram_diffusion.notes_encoder import (
        SpectrogramNotesEncoder,
    )

    sizes = {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_kv": 64, "d_ff": 2048}
    encoder = {**sizes, "dropout_rate": 0.1, "feed_forward_proj": "gated-gelu"}
    note_encoder = SpectrogramNotesEncoder(max_length=2048, vocab_size=1536, **encoder).eval()
    context_encoder = SpectrogramContEncoder(
        input_dims=128, targets_context_length=256, **encoder
    ).eval()
    decoder = T5FilmDecoder(
        input_dims=128, targets_length=256, max_decoder_noise_time=20000.0, **sizes
    ).eval()
    tokens = torch.zeros(1, 2048, dtype=torch.int)
    tokens[:, :notes] = torch.randint(3, 1000, (notes,))
    context, noisy = torch.rand(1, 256, 128) * 2 - 1, torch.randn(1, 256, 128)

    def encode():
        with torch.no_grad():
            return [
                note_encoder(encoder_input_tokens=tokens, encoder_inputs_mask=tokens > 0),
                context_encoder(
                    encoder_inputs=context, encoder_inputs_mask=torch.ones(1, 256, dtype=torch.bool)
                ),
            ]

    encodings = encode()

    def evaluate() -> None:
        with torch.no_grad():
            for _ in range(TIMED):
                decoder(
                    encodings_and_masks=encodings,
                    decoder_input_tokens=noisy,
                    decoder_noise_time=torch.tensor([0.5]),
                )

    return encode, evaluate, TIMED


if __name__ == "__main__":
    main()
