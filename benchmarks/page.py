"""First sound and gaps of the page of `spectrodiff play`, whose server has one core.

    python benchmarks/page.py

starts the server, pinned to one core with all its threads, and opens the page in headless Chromium
on the others. Each song is chosen and played at once, twice: the first time, which compiles what is
missing, is not counted. The time runs from the choice to the moment on the audio clock at which the
first sample sounds, without the latency of the sound card. Playback goes on at normal speed; the
page says when it waits. Needs the program `chromium`.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # for the driver of the browser, which the tests share

from tests.support.browser import EXECUTABLE  # noqa: E402
from tests.support.player_page import PlayerPage  # noqa: E402

# Chooses an example, presses play as soon as its take is there, and follows the playback.
PLAY = """
new Promise((done) => {
  const before = player.take()?.id;
  const begin = performance.now();
  const select = document.querySelector("#example");
  select.value = NAME;
  select.dispatchEvent(new Event("change", { bubbles: true }));
  let first = null, waits = 0, last = "stopped", played = false;
  const follow = () => {
    if (player.take()?.id !== before && !played) {
      played = true;
      document.getElementById("play").click();
    }
    const state = player.state();
    if (state === "waiting" && last === "playing") waits++;
    last = state;
    if (played && first === null && state === "playing" && player.position() > 0) {
      // The position says how long it has sounded.
      first = performance.now() - begin - 1000 * player.position();
    }
    if (first !== null && player.position() >= SECONDS) {
      document.getElementById("play").click();
      done([first, waits]);
    } else setTimeout(follow, 5);
  };
  follow();
})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seconds", type=float, default=30.0, help="time that each song is played")
    parser.add_argument("--songs", nargs="+", default=["greensleeves", "pachelbel_canon"])
    parser.add_argument("--repeats", type=int, default=5)
    flags = parser.parse_args()
    if EXECUTABLE is None:
        raise SystemExit("this needs the program chromium")
    *others, core = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "spectrodiff", "play", "--no_browser", "--port", "0"]
    server = subprocess.Popen(
        ["taskset", "-c", str(core), *command, "--model", flags.model],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        address = server.stdout.readline().strip()
        os.sched_setaffinity(0, others or [core])
        page = PlayerPage(address)
        page.visit(address)
        page.wait_for("window.player")
        print("| song | first sound, ms (range) | gaps | played, s |")
        print("|---|---:|---:|---:|")
        for song in flags.songs:
            first, gaps = [], 0
            for repeat in range(flags.repeats + 1):
                longest = repeat == flags.repeats
                seconds = flags.seconds if longest else 2.0
                script = PLAY.replace("NAME", repr(song)).replace("SECONDS", str(seconds))
                heard, waits = page.run(script)
                gaps += waits
                if repeat:
                    first.append(heard)
            row = f"{statistics.median(first):.0f} ({min(first):.0f} to {max(first):.0f})"
            print(f"| {song} | {row} | {gaps} | {flags.seconds:.0f} |", flush=True)
        page.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
