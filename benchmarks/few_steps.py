"""Time of rendering with few evaluations of the network, beside ten guided steps.

    python benchmarks/few_steps.py

renders one long song, and eight songs side by side, from notes to audio with the bundled model and
all settings in turns, so that other load on the machine affects all of them. Programs are compiled
before. A table says where the time goes: every part is timed by itself, with nothing beside it; the
rest is work of the host, or parts that wait for each other. On two cores the inversion runs beside
the generation, so the rest may be negative.
"""

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from denoising_step import processor
from rendered_songs import SETTINGS, eight_songs, long_song

import spectrodiff
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.parallel import make_mesh
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.inverter import invert
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.songs import trial_batch
from spectrodiff.synthesis.synthesizer import Synthesizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the long song")
    flags = parser.parse_args()
    logging.disable(logging.WARNING)  # remarks on replaced instruments, for every rendering
    enable_compilation_cache()
    synth = spectrodiff.load(flags.model)
    print(f"Processor: {processor()}, {len(os.sched_getaffinity(0))} used\n")
    for title, songs in (
        ("one song", [long_song(flags.seconds)]),
        ("8 songs side by side", eight_songs()),
    ):
        tokens = [synth.tokenize(song) for song in songs]
        audio_seconds = sum(song.num_samples for song in tokens) / 16_000
        print(f"{title}, {audio_seconds:.0f} s of audio\n")
        compare(synth, songs, audio_seconds, flags.repeats)
        print_parts(flags.model, synth, songs, tokens, flags.repeats)


def compare(synth: Synthesizer, songs: Sequence[Any], audio_seconds: float, repeats: int) -> None:
    """Prints the time of rendering with each setting, and the ratio to the first."""

    def render(settings: dict[str, Any]) -> Callable[[], object]:
        return lambda: synth.render_many(songs, **settings)

    seconds = in_turns({name: render(settings) for name, settings in SETTINGS.items()}, repeats)
    print("| | s | s of audio per s | times faster, median (range) |")
    print("|---|---:|---:|---:|")
    first = seconds[next(iter(SETTINGS))]
    for name, found in seconds.items():
        middle = statistics.median(found)
        print(f"| {name} | {middle:.2f} | {audio_seconds / middle:.1f} | {ratios(first, found)} |")
    print(flush=True)


def in_turns(
    functions: dict[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Times functions, one after another in every round, after a round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for warm in [False] + [True] * repeats:
        for name, function in functions.items():
            start = clock()
            function()
            if warm:
                seconds[name].append(clock() - start)
    return seconds


def ratios(base: Sequence[float], others: Sequence[float]) -> str:
    """Describes how many times shorter times are than others of the same rounds."""
    each = [one / other for one, other in zip(base, others, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def print_parts(
    model: str, synth: Synthesizer, songs: Sequence[Any], tokens: list[SongTokens], repeats: int
) -> None:
    """Prints the time per batch of segments that each part takes by itself."""
    print(
        "| ms per batch of segments | notes to tokens | encoders | steps | inverter | rest | all |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, settings in SETTINGS.items():
        ms = part_ms(denoiser(model, settings), synth, songs, tokens, settings, repeats)
        everything = ms.pop("all")
        cells = [*ms.values(), everything - sum(ms.values()), everything]
        print(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)
    print()


def part_ms(
    segments: DiffusionSegments,
    synth: Synthesizer,
    songs: Sequence[Any],
    tokens: list[SongTokens],
    settings: dict[str, Any],
    repeats: int,
) -> dict[str, float]:
    """Times the parts of rendering and the whole of it, per batch of segments."""
    batch = typical_batch(segments, tokens)
    prepared = segments.prepare(batch)
    frames = sum(song.num_frames for song in tokens)
    log_mel = np.random.default_rng(0).uniform(-8, 1, (frames, 128)).astype(np.float32)
    found = in_turns(
        {
            "tokens": lambda: [synth.tokenize(song) for song in songs],
            "encoders": lambda: jax.block_until_ready(segments.prepare(batch)),
            "steps": lambda: jax.block_until_ready(segments.sample(prepared)),
            "inverter": lambda: invert(synth.inverter, log_mel),
            "all": lambda: synth.render_many(songs, **settings),
        },
        repeats,
    )
    ms = {part: 1e3 * statistics.median(seconds) for part, seconds in found.items()}
    for part in ("tokens", "inverter", "all"):
        ms[part] /= max(len(song.tokens) for song in tokens)
    return ms


def denoiser(model: str, settings: dict[str, Any]) -> DiffusionSegments:
    """Returns the part of a synthesizer that generates segments."""
    checkpoint = open_checkpoint(model)
    sampling = checkpoint.sampling.but(**settings)
    return DiffusionSegments(
        checkpoint.config,
        checkpoint.params,
        schedule=make_schedule(checkpoint.schedule),
        prediction=checkpoint.prediction,
        sampling=sampling,
        dtype=jax.numpy.float32,
        mesh=make_mesh(jax.devices()[:1]),
    )


def typical_batch(segments: DiffusionSegments, tokens: list[SongTokens]):
    """Returns a batch with as many tokens as a segment in the middle, and a full context."""
    counts = [np.count_nonzero(song.tokens, axis=1) for song in tokens]
    longest = max(map(len, counts))
    # Batches are padded to their longest segment.
    most = [max(count[i] for count in counts if len(count) > i) for i in range(longest)]
    middle = int(np.argsort(most)[longest // 2])
    rows = [song.tokens[min(middle, len(song.tokens) - 1)] for song in tokens]
    batch = trial_batch(segments, rows)
    return batch._replace(context_mask=np.ones_like(batch.context_mask))


if __name__ == "__main__":
    main()
