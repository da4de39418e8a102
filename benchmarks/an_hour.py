"""Memory and playback over an hour of music on one core: streamed from a song, and played live.

    python benchmarks/an_hour.py

starts a process for each that is pinned to one core, with all its threads, and renders an hour as
fast as it can: a song of an hour by `stream`, and keys that are pressed and released by `live`,
which is steered every minute. A player that starts with the first samples at normal speed would
never wait if the smallest reserve is not 0. A live segment has to be computed in its own time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from playback import Part, play

MINUTES = 60
WAYS = ("stream", "live")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--minutes", type=int, default=MINUTES)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.way:
        serve(flags.way, flags.model, flags.minutes)
        return
    marks = [max(flags.minutes * share // 6, 1) for share in range(1, 7)]
    names = " | ".join(f"{mark} min, MiB" for mark in marks)
    print(f"| one core | first sound, ms | smallest reserve, s | longest part, ms | {names} |")
    print("|---|" + "---:|" * (3 + len(marks)))
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way, "--model", flags.model]
        command += ["--minutes", str(flags.minutes)]
        pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]
        row = json.loads(subprocess.run(pinned, stdout=subprocess.PIPE, check=True).stdout)
        memory = " | ".join(f"{row['mebibytes'][str(mark)]:.0f}" for mark in marks)
        print(
            f"| `{way}` | {row['first_ms']:.0f} | {row['reserve_seconds']:.2f} | "
            f"{row['longest_ms']:.0f} | {memory} |",
            flush=True,
        )


def serve(way: str, model: str, minutes: int) -> None:
    """Renders the music in this process and prints what was measured as JSON."""
    import spectrodiff
    from spectrodiff.core.runtime import enable_compilation_cache

    enable_compilation_cache()
    synth = spectrodiff.load(model)
    parts_of = {"stream": streamed, "live": played_live}[way]
    for _ in parts_of(synth, 1):  # compiles
        pass
    arrived, mebibytes, longest = [], {}, 0.0
    samples = 0
    start = before = time.perf_counter()
    for part in parts_of(synth, minutes):
        now = time.perf_counter()
        arrived.append(Part(now - start, len(part.audio)))
        longest, before = max(longest, now - before), now
        samples += len(part.audio)
        mebibytes[samples // (60 * part.sample_rate)] = resident_mebibytes()
    played = play(arrived)
    print(
        json.dumps(
            {
                "first_ms": 1e3 * played.first_sound_seconds,
                "reserve_seconds": played.smallest_reserve_seconds,
                "longest_ms": 1e3 * longest,
                "mebibytes": {minute: mebibytes[minute] for minute in sorted(mebibytes)}
                | {minutes: resident_mebibytes()},
            }
        )
    )


def streamed(synth: Any, minutes: int) -> Iterator[Any]:
    """Yields the parts of a song."""
    from rendered_songs import long_song

    return synth.stream(long_song(60.0 * minutes))


def played_live(synth: Any, minutes: int) -> Iterator[Any]:
    """Yields the parts of a song that somebody plays, four notes a second."""
    from spectrodiff.music.steering import Steering

    live = synth.live()
    segments = int(60 * minutes / live.segment_seconds)
    for segment in range(segments):
        for beat in range(4):
            start = live.seconds + beat * live.segment_seconds / 4
            pitch = 48 + (segment * 7 + beat * 5) % 36
            live.note_on(pitch, seconds=start)
            live.note_off(pitch, seconds=start + 0.4)
        if segment % 47 == 46:
            live.steer(Steering(transpose=segment % 5, programs={0: 24 * (segment % 2)}))
        yield live.pull()
    yield live.finish()


def resident_mebibytes() -> float:
    """Returns the memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
