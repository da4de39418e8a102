"""Time to the first sound of a stream on one core, and whether playback ever waits afterwards.

    python benchmarks/first_sound.py

starts a process that is pinned to one core, with all its threads, loads the bundled model, and
streams each song with all settings in turns; the first stream of each is not counted, since it
compiles. A player starts with the first samples and plays 16,000 per second from what has arrived.
"""

import argparse
import json
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
    parser.add_argument("--repeats", type=int, default=3)
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
        print(line_of(row["settings"], row["song_seconds"], [Playback(*p) for p in row["played"]]))


def line_of(settings: str, song_seconds: float, played: list[Playback]) -> str:
    """Returns a row of the table: the median time, the worst reserve, all starvations."""
    first = [1e3 * each.first_sound_seconds for each in played]
    reserve = min(each.smallest_reserve_seconds for each in played)
    starvations = sum(each.starvations for each in played)
    middle = f"{statistics.median(first):.0f} ({min(first):.0f} to {max(first):.0f})"
    return f"| {settings} | {song_seconds:.0f} | {middle} | {reserve:.2f} | {starvations} |"


def serve(model: str, repeats: int, seconds: float) -> None:
    """Streams songs and prints a line of JSON for each song and setting."""
    from rendered_songs import SETTINGS, example_songs, long_song

    import spectrodiff
    from spectrodiff.core.runtime import enable_compilation_cache

    assert len(os.sched_getaffinity(0)) == 1
    enable_compilation_cache()
    synth = spectrodiff.load(model)
    for song in [*example_songs(), long_song(seconds)]:
        played: dict[str, list[Playback]] = {name: [] for name in SETTINGS}
        for warm in [False] + [True] * repeats:
            for name, settings in SETTINGS.items():
                found = play(arrivals(synth, song, settings))
                if warm:
                    played[name].append(found)
        for name, found in played.items():
            row = {"settings": name, "song_seconds": song.total_seconds, "played": found}
            print(json.dumps(row), flush=True)


def arrivals(synth: Any, song: Any, settings: dict[str, Any]) -> list[Part]:
    """Streams a song and returns when each part arrived, in seconds after the call."""
    parts = []
    start = time.perf_counter()
    for part in synth.stream(song, **settings):
        parts.append(Part(time.perf_counter() - start, len(part.audio)))
    return parts


if __name__ == "__main__":
    main()
