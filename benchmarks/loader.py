"""Speed of the loader of training examples.

    python benchmarks/loader.py

prepares corpora of generated recordings in a temporary folder and prints the number of examples per
second for several numbers of worker processes. Without workers, a thread of the process that trains
reads.
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


def measure(source: RecordingSource, workers: int, flags: argparse.Namespace) -> float:
    """Returns the number of examples per second of wall time."""
    batches = TrainingBatches(
        [source.pieces], ExampleFormat(), batch_size=flags.batch_size, seed=0, workers=workers
    )
    with batches:
        for _ in range(8):
            next(batches)  # starts workers and fills their buffers
        begin = time.perf_counter()
        for _ in range(flags.batches):
            next(batches)
        return flags.batches * flags.batch_size / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the training data loader.")
    add = parser.add_argument
    add("--recordings", type=int, default=8, help="number of recordings")
    add("--minutes", type=int, nargs="*", default=[4, 30], help="lengths of the recordings")
    add("--batch_size", type=int, default=64)
    add("--batches", type=int, default=40, help="number of batches that are timed")
    add("--workers", type=int, nargs="*", default=[0, 1, 2], help="numbers of worker processes")
    add("--repeats", type=int, default=3, help="rounds, of which the fastest counts")
    flags = parser.parse_args()
    logging.getLogger("absl").setLevel(logging.ERROR)

    print("| recordings | workers | examples/s | times one worker |")
    print("|-----------:|--------:|-----------:|-----------------:|")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in flags.minutes:
            source = make_corpus(Path(folder), flags.recordings, 60 * minutes)
            speeds = dict.fromkeys(flags.workers, 0.0)
            for _ in range(flags.repeats):
                for workers in flags.workers:
                    speeds[workers] = max(speeds[workers], measure(source, workers, flags))
            for workers, speed in speeds.items():
                ratio = speed / speeds[1] if speeds.get(1) else math.nan
                print(f"| {minutes:6d} min | {workers:7d} | {speed:10.0f} | {ratio:16.2f} |")


if __name__ == "__main__":
    main()
