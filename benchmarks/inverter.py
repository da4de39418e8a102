"""Speed of inverters, and their memory for an hour of audio.

    python benchmarks/inverter.py --hour

times the frame-rate generator, with phases from the score and without, Griffin-Lim and the
MelGAN-style generator in turns, on the same features. Weights are random unless --inverter names a
trained frame-rate generator; the time does not depend on them. With --hour, one process per
inverter inverts an hour of features in windows and reports its peak memory, which takes a quarter
of an hour for the slow ones. To limit the number of cores:
taskset -c 0,1 python benchmarks/inverter.py
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from spectrodiff.core.constants import FRAMES_PER_SECOND, NUM_MELS
from spectrodiff.inverter import GriffinLim, Inverter, ScorePhases, invert
from spectrodiff.inverter.config import SIZES
from spectrodiff.inverter.files import StoredInverter
from spectrodiff.inverter.loading import open_inverter
from spectrodiff.inverter.networks.generators import generator_of
from spectrodiff.inverter.trained import trained_inverter
from spectrodiff.models.definition import init_params
from spectrodiff.music.notes import Notes

NAMES = ("frame_rate", "score_phases", "griffin-lim", "melgan")
NOTES_PER_SECOND = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="length of the audio")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs per inverter")
    parser.add_argument("--inverter", help="a trained inverter, timed as frame_rate")
    parser.add_argument("--hour", action="store_true", help="also measure memory")
    parser.add_argument("--memory_of", choices=NAMES, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.memory_of:
        print(json.dumps(memory_of(make(flags.memory_of, flags.inverter))))
        return
    speeds = times_realtime(flags)
    print(f"{len(os.sched_getaffinity(0))} cores, {flags.seconds} s of audio")
    hour = " memory for an hour, MB |" if flags.hour else ""
    print(f"| inverter | times faster than realtime, median (range) |{hour}")
    print("|---|---:|" + "---:|" * flags.hour)
    for name in NAMES:
        found = sorted(speeds[name])
        row = f"| {name} | {np.median(found):.0f} ({found[0]:.0f} to {found[-1]:.0f}) |"
        if flags.hour:
            row += f" {measure_memory(name, flags.inverter):.0f} |"
        print(row, flush=True)


def make(name: str, trained: str | None) -> Inverter:
    if name == "griffin-lim":
        return GriffinLim()
    if name == "score_phases":
        return ScorePhases(make("frame_rate", trained))
    if name == "frame_rate" and trained:
        return open_inverter(trained)
    config = SIZES[name]
    return trained_inverter(StoredInverter(config, init_params(generator_of(config), config, 0)))


def features(seconds: int) -> np.ndarray:
    """Returns random features at the level of music; the time does not depend on them."""
    shape = (seconds * FRAMES_PER_SECOND, NUM_MELS)
    return 9 * np.random.default_rng(0).random(shape, np.float32) - 8


def notes(seconds: int) -> Notes:
    """Returns notes of half a second at random times and pitches."""
    rng = np.random.default_rng(0)
    count = NOTES_PER_SECOND * seconds
    onsets = rng.uniform(0, seconds - 1, count)
    return Notes(
        onset_seconds=onsets,
        offset_seconds=onsets + 0.5,
        pitch=rng.integers(36, 85, count),
        velocity=np.full(count, 90),
        program=np.zeros(count, np.int64),
        is_drum=np.zeros(count, np.bool_),
        total_seconds=seconds,
    )


def times_realtime(flags: argparse.Namespace) -> dict[str, list[float]]:
    inverters = {name: make(name, flags.inverter) for name in NAMES}
    log_mel, song = features(flags.seconds), notes(flags.seconds)
    for inverter in inverters.values():
        invert(inverter, log_mel[:1200], notes=song)  # compiles
    speeds: dict[str, list[float]] = {name: [] for name in NAMES}
    # In turns, so that other load on the machine affects all of them.
    for _ in range(flags.repeats):
        for name, inverter in inverters.items():
            start = time.perf_counter()
            invert(inverter, log_mel, notes=song)
            speeds[name].append(flags.seconds / (time.perf_counter() - start))
    return speeds


def measure_memory(name: str, trained: str | None) -> float:
    command = [sys.executable, __file__, "--memory_of", name]
    command += ["--inverter", trained] if trained else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout))


def memory_of(inverter: Inverter) -> float:
    """Inverts an hour; returns the peak memory of this process in MB, JAX and features included."""
    invert(inverter, features(3600), notes=notes(3600))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
