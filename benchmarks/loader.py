"""Speed of the loader of training examples.

    python benchmarks/loader.py --step_examples_per_second 300

prepares a corpus of generated recordings in a temporary folder and prints the number of examples
per second and core, for several numbers of examples per reading of a recording, and the number of
cores that a training step of the given speed needs.
"""

import argparse
import functools
import logging
import math
import tempfile
import time
from pathlib import Path

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.recordings import Plan, RecordingGroup, StemReader
from spectrodiff.data.source import RecordingSource, load_source
from spectrodiff.music.notes import Notes

EXAMPLES_PER_READING = (1, 4, 16)
NOTES_PER_SECOND = 20


def make_audio(seconds: int, seed: int) -> np.ndarray:
    """Returns decaying tones and noise, which compress about as well as music."""
    rng = np.random.default_rng(seed)
    time_seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    hertz = 440 * 2 ** ((rng.integers(36, 97, (seconds, 4)) - 69) / 12)
    tones = [
        np.sin(2 * np.pi * chord[:, None] * time_seconds).mean(axis=0) * np.exp(-2 * time_seconds)
        for chord in hertz
    ]
    audio = np.concatenate(tones) + rng.normal(0, 0.01, seconds * SAMPLE_RATE)
    return (0.7 * audio).astype(np.float32)


def make_notes(seconds: int, seed: int) -> Notes:
    rng = np.random.default_rng(seed)
    count = seconds * NOTES_PER_SECOND
    onset_seconds = rng.uniform(0, seconds - 1, count)
    return Notes(
        onset_seconds=onset_seconds,
        offset_seconds=np.minimum(onset_seconds + rng.exponential(0.5, count) + 0.02, seconds),
        pitch=rng.integers(21, 109, count),
        velocity=rng.integers(1, 128, count),
        program=rng.choice([0, 24, 32, 40], count),
        is_drum=rng.random(count) < 0.2,
    )


def make_corpus(folder: Path, recordings: int, seconds: int) -> RecordingSource:
    def stem(seed: int) -> StemReader:
        return StemReader(
            functools.partial(make_audio, seconds, seed),
            functools.partial(make_notes, seconds, seed),
        )

    groups = [RecordingGroup.single(str(seed), stem(seed)) for seed in range(recordings)]
    prepare("generated", f"{seconds}s", Plan({"train": groups}), folder)
    return load_source(folder, f"generated/{seconds}s", "train")


def measure(
    source: RecordingSource, examples_per_reading: int, flags: argparse.Namespace
) -> tuple[float, float]:
    """Returns the number of examples per second of wall time and of CPU time."""
    batches = TrainingBatches(
        [source],
        ExampleFormat(),
        batch_size=flags.batch_size,
        seed=0,
        threads=flags.threads,
        examples_per_reading=examples_per_reading,
    )
    with batches:
        for _ in range(2):
            next(batches)  # starts threads and fills the buffer
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(flags.batches):
            next(batches)
        count = flags.batches * flags.batch_size
        return (
            count / (time.perf_counter() - wall),
            count / (time.process_time() - processor),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the training data loader.")
    add = parser.add_argument
    add("--step_examples_per_second", type=float, default=300.0, help="speed of a training step")
    add("--recordings", type=int, default=16, help="number of recordings")
    add("--minutes", type=int, nargs="*", default=[4, 10], help="lengths of the recordings")
    add("--batch_size", type=int, default=16)
    add("--batches", type=int, default=48, help="number of batches that are timed")
    add("--threads", type=int, default=2)
    flags = parser.parse_args()
    logging.getLogger("absl").setLevel(logging.ERROR)

    print("| recordings | examples per reading | examples/s | per core | cores to keep up |")
    print("|-----------:|-------------------:|-----------:|---------:|-----------------:|")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in flags.minutes:
            source = make_corpus(Path(folder), flags.recordings, 60 * minutes)
            for examples_per_reading in EXAMPLES_PER_READING:
                wall, core = measure(source, examples_per_reading, flags)
                cores = math.ceil(10 * flags.step_examples_per_second / core) / 10
                print(
                    f"| {minutes:6d} min | {examples_per_reading:18d} | {wall:10.0f} | {core:8.0f} "
                    f"| {cores:16.1f} |"
                )
    step = flags.step_examples_per_second
    print(f"\ncores to keep up: with a training step of {step:g} examples per second")


if __name__ == "__main__":
    main()
