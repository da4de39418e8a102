"""Reading of damaged MIDI files: no errors but MidiError, no hang, no more than 1 GB.

    python -m tests.campaigns.midi --files 100000 --seed 0
    python -m tests.campaigns.midi --minutes 30 --seed 100000

reads the files of the seeds from --seed on in another process. Files that fail are stored in --out,
with what went wrong.
"""

import argparse
import dataclasses
import json
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import NOTE_COLUMNS, Notes
from tests.campaigns.midi_mutants import mutant

ROOT = Path(__file__).parents[2]
READ = (sys.executable, "-m", "tests.campaigns.midi", "--read")
READY = "ready\n"
CPU_SECONDS = 5
MEMORY_BYTES = 1 << 30
# In the time of a few files, so that --minutes is kept.
FILES_AT_ONCE = 1000

WHOLE, DAMAGED, REFUSED, FAILED = "whole", "damaged", "refused", "failed"


@dataclasses.dataclass
class Outcome:
    """Counts of the files of a campaign by what became of them.

    Attributes:
        counts: number of files that were read as whole or damaged, were refused, or failed.
        failures: by seed, what went wrong.
    """

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: dict[int, str] = dataclasses.field(default_factory=dict)


def run(seeds: range, outcome: Outcome, command: Sequence[str] = READ) -> None:
    """Reads the files of some seeds and adds what became of them.

    Args:
        seeds: those of the files.
        outcome: is added to.
        command: starts `serve`; the first and last seed are appended.
    """
    while seeds:
        for seed, kind, text in _read_in_process(seeds, command):
            outcome.counts[kind] += 1
            if kind == FAILED:
                outcome.failures[seed] = text
            seeds = range(seed + 1, seeds.stop)


def _read_in_process(seeds: range, command: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yields the results of files, up to one that ends the process.

    Raises:
        RuntimeError: if the process does not begin to read.
    """
    command = [*command, str(seeds.start), str(seeds.stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        if process.stdout.readline() != READY:
            raise RuntimeError("the process that reads does not start")
        seed = seeds.start
        for line in process.stdout:
            seed, kind, text = json.loads(line)
            yield seed, kind, text
            seed += 1
    if process.returncode:
        took_long = process.returncode == -signal.SIGPROF
        reason = f"more than {CPU_SECONDS} s" if took_long else f"ended by {process.returncode}"
        yield seed, FAILED, reason


def serve(seeds: range) -> None:
    """Reads the files of some seeds and prints a line of JSON for each: seed, kind, traceback."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_BYTES,) * 2)
    print(READY, end="", flush=True)
    for seed in seeds:
        data = mutant(seed)
        # Seconds of this process, whatever else the machine does; the signal ends it.
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        kind, text = FAILED, ""
        try:
            kind = _read(data)
        except Exception:
            text = traceback.format_exc()
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps([seed, kind, text]), flush=True)


def _read(data: bytes) -> str:
    """Reads a file; returns what it is.

    Raises:
        Exception: if anything is not as promised.
    """
    try:
        notes = read_midi(data)
    except MidiError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error
        return REFUSED
    check(notes)
    again = read_midi(data)
    for name in NOTE_COLUMNS:
        np.testing.assert_array_equal(getattr(notes, name), getattr(again, name))
    return DAMAGED if notes.damage else WHOLE


def check(notes: Notes) -> None:
    """Checks what holds for the notes of any file; the note table itself checks ranges.

    Raises:
        AssertionError: if it does not.
    """
    assert np.all(np.diff(notes.onset_seconds) >= 0), "not in order of onset"
    assert np.all(notes.offset_seconds > notes.onset_seconds), "a note of no length"
    lines = (*notes.remarks, notes.damage)
    assert all("\n" not in line and line.isprintable() for line in lines), "not one printable line"
    assert not notes.damage or notes.damage in notes.remarks, "damage without a remark"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--files", type=int, default=10_000, help="number of files")
    limit.add_argument("--minutes", type=float, help="how long to go on, instead")
    parser.add_argument("--seed", type=int, default=0, help="that of the first file")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "campaigns" / "midi")
    parser.add_argument("--read", type=int, nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.read:
        serve(range(*flags.read))
        return
    outcome, seed, start = Outcome(), flags.seed, time.monotonic()
    stop = sys.maxsize if flags.minutes else flags.seed + flags.files
    while seed < stop and (not flags.minutes or time.monotonic() - start < 60 * flags.minutes):
        some = range(seed, min(seed + FILES_AT_ONCE, stop))
        run(some, outcome)
        seed = some.stop
        print(f"{seed - flags.seed} files: {dict(outcome.counts)}", flush=True)
    for failed, text in outcome.failures.items():
        flags.out.mkdir(parents=True, exist_ok=True)
        (flags.out / f"{failed}.mid").write_bytes(mutant(failed))
        (flags.out / f"{failed}.txt").write_text(text)
        print(f"{flags.out / str(failed)}.mid: {text.strip().splitlines()[-1]}")
    sys.exit(bool(outcome.failures))


if __name__ == "__main__":
    main()
