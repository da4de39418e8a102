"""Many songs with all settings from one synthesizer, by several threads: nothing grows.

An attempt renders some songs at once, each in a thread of its own and in one of several ways, and
one of them again alone, which has to be the same to the bit. Memory, threads, open and temporary
files and compiled programs are counted after each. The model is `untrained`, or that of the
environment variable CAMPAIGN_MODEL; MEMORY_LOG names a file for what each attempt counts.
"""

import ctypes
import dataclasses
import functools
import gc
import json
import logging
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import spectrodiff
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.synthesis.synthesizer import Synthesizer
from tests.campaigns.harness import ROOT, Campaign, Limits
from tests.support.notation import note_table

SONGS_AT_ONCE = 4
WAYS = ("together", "stream", "take", "live", "segments")
MAX_SECONDS, MAX_NOTES = 5.0, 3000
# Attempts until the programs that are kept are those of all kinds, and what may come afterwards.
WARM_UP_ATTEMPTS = 20
MAX_GROWTH_BYTES = 30_000_000


class Job(NamedTuple):
    """Songs that a thread renders.

    Attributes:
        way: one of `WAYS`.
        notes: rows of each song.
        batch_size: number of songs that are rendered side by side.
        seed: of the noise.
        settings: of the sampling.
    """

    way: str
    notes: list[list[tuple[Any, ...]]]
    batch_size: int
    seed: int
    settings: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Resources:
    """Counts of what this process holds."""

    resident_bytes: int
    threads: int
    open_files: int
    temporary_files: int
    programs: int


def make(seed: int) -> list[Job]:
    """Returns what the threads of an attempt render."""
    return [_job(np.random.default_rng([seed, thread])) for thread in range(SONGS_AT_ONCE)]


def attempt(jobs: list[Job]) -> str:
    """Renders songs; returns whether it was while programs were still collected.

    Raises:
        AssertionError: if a song is another one alone, or anything has grown.
    """
    session = _session()
    with ThreadPoolExecutor(len(jobs)) as pool:
        together = list(pool.map(session.render, jobs))
    number = len(session.counted) % len(jobs)
    for ours, alone in zip(together[number], session.render(jobs[number]), strict=True):
        np.testing.assert_array_equal(ours, alone)
    return session.count()


class Session:
    """A synthesizer, and what the process held after each attempt."""

    def __init__(self) -> None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_COMPILED))
        enable_compilation_cache()
        logging.disable(logging.WARNING)  # remarks on instruments, for every song
        # A folder of this process alone, as other processes have files in the common one.
        self._folder = tempfile.TemporaryDirectory()
        tempfile.tempdir = self._folder.name
        self._synth: Synthesizer = spectrodiff.load(os.environ.get("CAMPAIGN_MODEL", "untrained"))
        self.counted: list[Resources] = []

    def render(self, job: Job) -> list[np.ndarray]:
        """Returns all arrays of some songs."""
        synth, notes = self._synth, [note_table(rows) for rows in job.notes]
        if job.way == "together":
            songs = synth.render_many(
                notes, seed=job.seed, batch_size=job.batch_size, **job.settings
            )
        elif job.way == "stream":
            songs = list(synth.stream(notes[0], seed=job.seed, **job.settings))
        elif job.way == "take":
            take = synth.take(notes[0], seed=job.seed, **job.settings)
            songs = [next(take)]
            take.steer(take.rendered, steps=3, guidance=2.0)
            songs += list(take)
        elif job.way == "live":
            live = synth.live(seed=job.seed, **job.settings)
            live.add(notes[0])
            songs = [live.pull()]
            live.steer(steps=3, sampler="ddim")
            songs += [live.pull(), live.finish()]
        else:
            return list(synth.segments(notes[0], seed=job.seed, **job.settings))
        return [array for song in songs for array in (song.audio, song.log_mel)]

    def count(self) -> str:
        """Counts what the process holds, and compares it with what it held before."""
        now = _resources(self._folder.name)
        self.counted.append(now)
        if log := os.environ.get("MEMORY_LOG"):
            with open(log, "a") as file:
                print(json.dumps(dataclasses.asdict(now)), file=file)
        assert now.temporary_files == 0, f"{now.temporary_files} temporary files"
        if len(self.counted) <= WARM_UP_ATTEMPTS:
            return "warm-up"
        before = self.counted[:WARM_UP_ATTEMPTS]
        for name, room in (
            ("resident_bytes", MAX_GROWTH_BYTES),
            ("threads", 0),
            ("open_files", 0),
        ):
            most = max(getattr(resources, name) for resources in before)
            assert getattr(now, name) <= most + room, f"{name} grow"
        return "flat"


_COMPILED = ROOT / ".pytest_cache" / "compiled"


@functools.cache
def _session() -> Session:
    return Session()


def _job(rng: np.random.Generator) -> Job:
    settings: dict[str, Any] = {
        "steps": int(rng.integers(2, 51)),
        "guidance": float(rng.choice([0.0, 1.0, rng.uniform(0, 5)])),
        "sampler": str(rng.choice(["ddpm", "ddim", "dpmpp"])),
    }
    if rng.uniform() < 0.2:
        settings["context_guidance"] = float(rng.uniform(0, 5))
    if rng.uniform() < 0.2:
        settings["guidance_times"] = (0.2, 0.8)
    way = str(rng.choice(WAYS))
    batch_size = int(rng.integers(1, 9))
    songs = int(rng.integers(1, 9)) if way == "together" else 1
    notes = [_notes(rng) for _ in range(songs)]
    return Job(way, notes, batch_size, int(rng.integers(1 << 32)), settings)


def _notes(rng: np.random.Generator) -> list[tuple[Any, ...]]:
    count = round(float(np.exp(rng.uniform(0, np.log(MAX_NOTES)))))
    onsets = np.sort(rng.uniform(0, rng.uniform(0.1, MAX_SECONDS), count))
    return [
        (onset, onset + rng.uniform(0.05, 0.5), *map(int, rng.integers([30, 1], [90, 128])),
         int(rng.choice([0, 24, 33, 48, 73])), False)
        for onset in onsets.tolist()
    ]  # fmt: skip


def _resources(folder: str) -> Resources:
    gc.collect()
    # What is free in the C library's lists is not used, and differs from time to time.
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Resources(
        resident_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
        threads=threading.active_count(),
        open_files=len(os.listdir("/proc/self/fd")),
        temporary_files=len(os.listdir(folder)),
        programs=len(jax.devices()[0].client.live_executables()),
    )


CAMPAIGN = Campaign(make, attempt, Limits(seconds=600), block=10_000)
