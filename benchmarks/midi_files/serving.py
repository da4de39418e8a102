"""A process that reads MIDI files with one parser, or as players do.

    python -m midi_files.serving READER

answers each path with a line of JSON: the notes with `seconds`, or an `error`; `play` is the reader
for what players make of a file. The path `memory PATH` reads a file and answers with the bytes by
which the process grew.
"""

import contextlib
import importlib.metadata
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np

from midi_files.parsers import PARSERS
from midi_files.players import FluidSynth, mido_events
from midi_files.playing import play


def main() -> None:
    answers = _silence()
    warnings.simplefilter("ignore")
    reader = sys.argv[1]
    if reader == "play":
        _serve(answers, _players())
        return
    try:
        read = PARSERS[reader].load()
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"version": _version(PARSERS[reader].package)}), file=answers, flush=True)
    _serve(answers, lambda path: {"notes": read(path).tolist()})


def _silence() -> TextIO:
    """Keeps what libraries print away from the answers, and from the terminal."""
    answers = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    return answers


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _serve(answers: TextIO, read: Callable[[str], dict]) -> None:
    for line in sys.stdin:
        path = line.rstrip("\n")
        measures_memory = path.startswith("memory ")
        path = path.removeprefix("memory ")
        if measures_memory:
            # Forgets the highest memory so far.
            Path("/proc/self/clear_refs").write_text("5")
        before = _peak_bytes()
        start = time.perf_counter()
        try:
            answer = read(path)
        except Exception as error:  # parsers raise anything
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        answer["seconds"] = time.perf_counter() - start
        if measures_memory:
            answer = {"bytes": _peak_bytes() - before}
        print(json.dumps(answer), file=answers, flush=True)


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _players() -> Callable[[str], dict]:
    """Returns a function that gives the notes of a file by both answers, None where refused."""
    answers = {"mido": mido_events}
    with contextlib.suppress(OSError):  # not installed
        answers["fluidsynth"] = FluidSynth().events

    def read(path: str) -> dict:
        data = Path(path).read_bytes()
        answer = {"type": int.from_bytes(data[8:10], "big") if data[:4] == b"MThd" else None}
        for name, events in answers.items():
            try:
                read_events = events(data)
                answer[name] = {
                    str(pedals): play(*read_events, pedals=pedals).tolist()
                    for pedals in (True, False)
                }
            except Exception:
                answer[name] = None
        answer["ports"] = _has_ports(data)
        return answer

    return read


def _has_ports(data: bytes) -> bool:
    """Returns True if some note is not on the first port, where FluidSynth plays all of them."""
    try:
        events, _ = mido_events(data)
    except Exception:
        return False
    return any(event.channel >= 16 for event in events)


def as_table(rows: list) -> np.ndarray:
    """Returns the notes of an answer as float64 [notes, 5]."""
    return np.array(rows, np.float64).reshape(-1, 5)


if __name__ == "__main__":
    main()
