"""Time to the first sound of a stream on one core, and whether playback ever waits afterwards.

    python benchmarks/first_sound.py

starts a process that is pinned to one core, with all its threads, loads the bundled model, and
streams songs with all settings, after one stream with each, which compiles. A player starts with
the first samples and plays 16,000 per second from what has arrived. Only the first sound is
measured several times.
"""

import argparse
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from playback import Part, Playback, play


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the longest song")
    parser.add_argument("--pinned", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.pinned:
        serve(flags.model, flags.repeats, flags.seconds)
        return
    command = [sys.executable, __file__, "--pinned", "--model", flags.model]
    command += ["--repeats", str(flags.repeats), "--seconds", str(flags.seconds)]
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.PIPE) as child:
        rows = [json.loads(line) for line in child.stdout]
    if child.returncode:
        raise SystemExit(child.returncode)
    print("| settings | song, s | first sound, ms (range) | smallest reserve, s | starvations |")
    print("|---|---:|---:|---:|---:|")
    for row in rows:
        print(line_of(row["settings"], row["song_seconds"], row["first"], Playback(*row["played"])))


def line_of(
    settings: str, song_seconds: float, first_seconds: list[float], played: Playback
) -> str:
    """Returns a row of the table, with the median time to the first sound."""
    first = [1e3 * seconds for seconds in first_seconds]
    middle = f"{statistics.median(first):.0f} ({min(first):.0f} to {max(first):.0f})"
    reserve = f"{played.smallest_reserve_seconds:.2f}"
    return f"| {settings} | {song_seconds:.0f} | {middle} | {reserve} | {played.starvations} |"


def serve(model: str, repeats: int, seconds: float) -> None:
    """Streams songs and prints a line of JSON for each song and setting."""
    from rendered_songs import SETTINGS, example_songs, long_song

    import spectrodiff
    from spectrodiff.core.runtime import enable_compilation_cache

    assert len(os.sched_getaffinity(0)) == 1
    logging.disable(logging.WARNING)  # remarks on replaced instruments, for every stream
    enable_compilation_cache()
    synth = spectrodiff.load(model)
    longest = long_song(seconds)
    for settings in SETTINGS.values():
        arrivals(synth, longest, settings)  # compiles for every number of notes
    for song in [*example_songs()[:2], longest]:
        first: dict[str, list[float]] = {name: [] for name in SETTINGS}
        for _ in range(repeats):
            for name, settings in SETTINGS.items():
                first[name].append(arrivals(synth, song, settings, until_sound=True)[-1].seconds)
        for name, settings in SETTINGS.items():
            played = play(arrivals(synth, song, settings))
            first[name].append(played.first_sound_seconds)
            row = {"settings": name, "song_seconds": song.total_seconds, "first": first[name]}
            print(json.dumps({**row, "played": played}), flush=True)


def arrivals(
    synth: Any, song: Any, settings: dict[str, Any], *, until_sound: bool = False
) -> list[Part]:
    """Streams a song and returns when each part arrived, in seconds after the call."""
    parts = []
    start = time.perf_counter()
    with contextlib.closing(synth.stream(song, **settings)) as stream:
        for part in stream:
            parts.append(Part(time.perf_counter() - start, len(part.audio)))
            if until_sound and len(part.audio):
                break
    return parts


if __name__ == "__main__":
    main()
