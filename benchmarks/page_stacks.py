"""Time from a click to the first sound of a page: Gradio beside Starlette and Web Audio.

    python benchmarks/page_stacks.py

serves streams of one song from one process in two ways: by Gradio, into a streaming audio
component, and by Starlette and uvicorn, as 16-bit samples that a page schedules with the Web Audio
API. Headless Chromium clicks on each in turn; the first click on each is not counted. The song is
then played for a while on each, and gaps are counted. Packages and megabytes are those that a stack
adds to the installed ones of this library. Needs the program `chromium`; a stack whose packages or
programs (gradio and `ffmpeg`, starlette and uvicorn) are missing is named with them.
"""

import argparse
import contextlib
import gc
import importlib.metadata
import importlib.util
import json
import logging
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import spectrodiff
from spectrodiff.audio.samples import to_int16
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.runtime import enable_compilation_cache

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # for the driver of the browser, which the tests share

from tests.support.browser import EXECUTABLE, Browser  # noqa: E402

SONG = ROOT / "examples" / "greensleeves.mid"
PATIENCE_SECONDS = 60.0
SETTLING_SECONDS = 1.0  # after a page is loaded

# The page of Starlette. `heard` is how much of the song has sounded, in seconds.
PAGE = """<!doctype html><title>Parts</title><button id="play">Play</button><script>
const RATE = 16000, LEAD_SECONDS = 0.02;
let context, start = 0, ends = 0, silent = 0;
const heard = () => (ends ? Math.min(context.currentTime, ends) - start - silent : 0);
const schedule = (samples) => {
  const buffer = context.createBuffer(1, samples.length, RATE);
  buffer.getChannelData(0).set(Float32Array.from(samples, (sample) => sample / 32768));
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  const earliest = context.currentTime + LEAD_SECONDS;
  if (!ends) start = ends = earliest;
  else if (ends < context.currentTime) [silent, ends] = [silent + earliest - ends, earliest];
  source.start(ends);
  ends += samples.length / RATE;
};
document.querySelector("#play").addEventListener("click", async () => {
  context = new AudioContext({ sampleRate: RATE });
  const reader = (await fetch("/parts")).body.getReader();
  let odd = new Uint8Array(0);  // half a sample
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(odd.length + value.length);
    bytes.set(odd);
    bytes.set(value, odd.length);
    const count = bytes.length >> 1;
    odd = bytes.slice(2 * count);
    if (count) schedule(new Int16Array(bytes.buffer, 0, count));
  }
});
</script>"""

# How much of the song has sounded on the page of Gradio, whose player is an audio element.
GRADIO_HEARD = """
let playing = false;
addEventListener("playing", () => { playing = true; }, true);
const heard = () => (playing ? (document.querySelector("audio")?.currentTime ?? 0) : 0);
"""

# Follows the sound on either page from the click on. A stall makes all that follows late.
WATCH = """
const STALL_MS = 50;
window.watched = { first: null, heard: 0, stalls: 0, silent: 0 };
addEventListener("click", () => {
  const clicked = performance.now();
  const look = () => {
    const position = 1000 * heard();
    if (position > watched.heard) {
      const began = performance.now() - clicked - position;  // had it never stalled
      watched.first ??= began;
      const late = began - watched.first - watched.silent;
      if (late > STALL_MS) {
        watched.stalls += 1;
        watched.silent += late;
      }
      watched.heard = position;
    }
    setTimeout(look, 2);
  };
  look();
}, { capture: true, once: true });
"""


class Clicked(NamedTuple):
    """Result of a click; times are in milliseconds."""

    first: float  # from the click to the first sound
    heard: float  # of the song
    stalls: int
    silent: float  # in all stalls


class Streams:
    """Streams of one song, of which one is rendered at a time."""

    def __init__(self, model: str) -> None:
        enable_compilation_cache()
        self._synth = spectrodiff.load(model)
        self._alone = threading.Lock()
        for _ in self.parts():  # compiles
            pass

    def parts(self) -> Iterator[np.ndarray]:
        """Yields int16 parts of the song, at 16 kHz."""
        with self._alone, contextlib.closing(self._synth.stream(SONG)) as stream:
            for part in stream:
                if len(part.audio):
                    yield to_int16(part.audio)

    def first_milliseconds(self) -> float:
        """Returns the time to the first part, without any page."""
        start = time.perf_counter()
        with contextlib.closing(self.parts()) as parts:
            next(parts)
        return 1e3 * (time.perf_counter() - start)

    def wait_until_idle(self) -> None:
        """Waits until no page has a stream."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while self._alone.locked():
            if time.monotonic() > ends:
                raise SystemExit("a stream goes on although its page is closed")
            time.sleep(0.1)
            gc.collect()  # an answer that was cut off leaves its iterator in a circle of references


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the song is played")
    flags = parser.parse_args()
    if EXECUTABLE is None:
        raise SystemExit("a browser is missing: chromium")
    missing = {name: missing_of(stack) for name, stack in STACKS.items()}
    logging.disable(logging.WARNING)
    streams, browser = Streams(flags.model), Browser()
    pages = {name: stack.serve(streams) for name, stack in STACKS.items() if not missing[name]}
    first: dict[str, list[float]] = {name: [] for name in pages}
    alone: list[float] = []
    for _ in range(flags.repeats + 1):
        for name, url in pages.items():
            first[name].append(click(browser, streams, url, STACKS[name].heard).first)
        alone.append(streams.first_milliseconds())
    print("| | first sound, ms (range) | stalls | silent, ms | packages | MB | import, s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    print(f"| the stream, without a page | {middle(alone[1:])} | | | | | |")
    for name, stack in STACKS.items():
        if missing[name]:
            print(f"| {name} | missing: {', '.join(missing[name])} | | | | | |")
            continue
        played = click(browser, streams, pages[name], stack.heard, flags.seconds)
        count, megabytes = size_of(stack.packages)
        print(
            f"| {name} | {middle(first[name][1:])} | {played.stalls} | {played.silent:.0f} "
            f"| {count} | {megabytes:.0f} | {import_seconds(stack.imports):.2f} |"
        )
    browser.close()


def middle(values: list[float]) -> str:
    """Returns the median and the range."""
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def serve_gradio(streams: Streams) -> str:
    """Serves a button and a streaming audio component, and returns the address."""
    import gradio

    def stream() -> Iterator[tuple[int, np.ndarray]]:
        for part in streams.parts():
            yield SAMPLE_RATE, part

    with gradio.Blocks(analytics_enabled=False) as page:
        sound = gradio.Audio(streaming=True, autoplay=True)
        gradio.Button("Play", elem_id="play").click(stream, None, sound)
    return page.launch(prevent_thread_lock=True, quiet=True, share=False)[1]


def serve_starlette(streams: Streams) -> str:
    """Serves the page and the parts of the song, and returns the address."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, StreamingResponse
    from starlette.routing import Route

    def parts(_: object) -> StreamingResponse:
        return StreamingResponse(part.tobytes() for part in streams.parts())

    routes = [Route("/", lambda _: HTMLResponse(PAGE)), Route("/parts", parts)]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
    listening = socket.create_server(("127.0.0.1", 0))
    run = threading.Thread(target=server.run, args=([listening],), daemon=True)
    run.start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/"


class Stack(NamedTuple):
    """One of the ways to serve a page."""

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    imports: str  # statement that a server of it begins with
    serve: Callable[[Streams], str]
    heard: str  # script that defines `heard` if the page does not


STACKS = {
    "Gradio": Stack(("gradio",), ("ffmpeg",), "import gradio", serve_gradio, GRADIO_HEARD),
    "Starlette and Web Audio": Stack(
        ("starlette", "uvicorn"), (), "import starlette.applications, uvicorn", serve_starlette, ""
    ),
}


def missing_of(stack: Stack) -> list[str]:
    """Returns the packages and programs of a stack that are not installed."""
    absent = [name for name in stack.packages if importlib.util.find_spec(name) is None]
    return absent + [name for name in stack.programs if shutil.which(name) is None]


def click(
    browser: Browser, streams: Streams, url: str, heard: str, seconds: float = 0.0
) -> Clicked:
    """Opens a page, clicks on its button, and leaves it when some seconds have sounded."""
    browser.call("Page.navigate", url=url)
    browser.wait_for(f"location.href === {json.dumps(url)} && document.querySelector('#play')")
    time.sleep(SETTLING_SECONDS)
    browser.run(heard + WATCH)
    corner = "(({ x, y }) => [x, y])(document.querySelector('#play').getBoundingClientRect())"
    x, y = browser.run(corner)
    browser.click(x + 5, y + 5)
    browser.wait_for(f"watched.heard > {1e3 * seconds}")
    clicked = Clicked(**browser.run("watched"))
    browser.call("Page.navigate", url="about:blank")
    streams.wait_until_idle()
    return clicked


def size_of(packages: Sequence[str]) -> tuple[int, float]:
    """Counts what some packages add to those that spectrodiff requires: packages and megabytes."""
    added = requirements(packages) - requirements(["spectrodiff"])
    files = [
        Path(str(file.locate()))
        for name in added
        for file in importlib.metadata.distribution(name).files or []
    ]
    return len(added), sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def requirements(packages: Sequence[str]) -> set[str]:
    """Returns names of packages and all that they require, if installed, without extras."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found or (lines := required_by(name)) is None:
            continue
        found.add(name)
        waiting += [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]
    return found


def required_by(package: str) -> list[str] | None:
    """Returns what a package requires, or None if it is not installed."""
    try:
        return importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None


def import_seconds(statement: str, repeats: int = 3) -> float:
    """Returns the median time of an import in a fresh process."""
    program = (
        f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    runs = [subprocess.check_output([sys.executable, "-c", program]) for _ in range(repeats)]
    return statistics.median(float(run) for run in runs)


if __name__ == "__main__":
    main()
