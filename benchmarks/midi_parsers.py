"""Parsers of MIDI files side by side: what they read, how much of it is right, time and memory.

    python -m venv /tmp/parsers
    /tmp/parsers/bin/pip install mido symusic miditoolkit partitura
    python benchmarks/midi_parsers.py FOLDER --python /tmp/parsers/bin/python

reads all files in FOLDER with each parser that is installed here or for one of --python, and
compares the notes with those that players sound: FluidSynth's own player, and the events of mido
merged in time. A file with notes is judged if the two agree, or if only one of them reads it (mido
alone for files with several ports, which FluidSynth does not know, or if its library is not
installed). Onsets and offsets agree within 1 ms; offsets and programs of drums do not count. A
parser that leaves pedals to its caller is compared with notes without pedals.

Odd files of the folder --cases are compared with its `expected.json`: onset, offset, pitch, program
and drum of each note, or a text if the file should be refused.

Times are those until notes in seconds with programs are there; all parsers read a file one after
another. Those of a file of 10,000 notes are the best of several; its memory is that by which a new
process grows. The results are stored as JSON.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mido
import numpy as np
from midi_files.agreement import ASPECTS, agree
from midi_files.parsers import PARSERS
from midi_files.serving import as_table
from tqdm import tqdm
from worker import Worker

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "midi_parsers.json"
CASES = ROOT / "tests" / "music" / "midi" / "cases"
SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
NUM_NOTES, NUM_CHANNELS, ROUNDS = 10_000, 8, 9
LIMIT_SECONDS = 30.0


class Reader:
    """A process that reads files with one parser, started anew when it fails.

    Attributes:
        version: of the package; None if no Python has it.
    """

    def __init__(self, name: str, pythons: Iterable[str]):
        self._name, self.version = name, None
        for python in pythons:
            self._python = python
            if self._start():
                return

    def _start(self) -> bool:
        path = os.pathsep.join((str(ROOT / "benchmarks"), str(ROOT)))
        command = [self._python, "-m", "midi_files.serving", self._name]
        self._worker = Worker(command, {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"})
        if self._name != "play":
            self.version = self._worker.read().get("version")
            return self.version is not None
        return True

    def __call__(self, line: str) -> dict[str, Any]:
        """Returns the answer to a path; see midi_files/serving.py."""
        try:
            return self._worker.ask(line, LIMIT_SECONDS)
        except (TimeoutError, EOFError) as error:
            self._worker.kill()
            self._start()
            what = f"over {LIMIT_SECONDS:g} s" if isinstance(error, TimeoutError) else "crash"
            return {"error": what, "seconds": LIMIT_SECONDS}

    def stop(self) -> None:
        """Ends the process."""
        self._worker.stop()


def main() -> None:
    flags = _parse_flags()
    pythons = (sys.executable, *flags.python)
    readers = {name: Reader(name, pythons) for name in PARSERS}
    missing = [name for name, reader in readers.items() if reader.version is None]
    readers = {name: reader for name, reader in readers.items() if name not in missing}
    print(f"not installed: {', '.join(missing) or 'none'}", flush=True)

    files = sorted(path for path in flags.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    scores = {name: Score(PARSERS[name].pedals) for name in readers}
    disputed = judge(files, flags.folder, readers, scores)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder) / "long.mid", Path(folder) / "short.mid"
        write_song(long, NUM_NOTES)
        write_song(short, 16)
        times = best_milliseconds(readers, long)
        for name, reader in readers.items():
            rows[name] = {
                "version": reader.version,
                **scores[name].summary(),
                "long_ms": times[name],
                "long_mb": grown_mb(name, pythons, short, long),
            }
    expected = json.loads((flags.cases / "expected.json").read_text())
    for name, reader in readers.items():
        failed = failed_cases(flags.cases, expected, reader)
        rows[name] |= {"cases": len(expected) - len(failed), "failed_cases": failed}
        reader.stop()
    results = {
        "files": len(files),
        "folders": Counter(path.relative_to(flags.folder).parts[0] for path in files),
        "judged": next(iter(scores.values())).judged,
        "disputed": disputed,
        "cases": len(expected),
        "parsers": rows,
    }
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    report(results)


def _parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="MIDI files, with subfolders")
    parser.add_argument("--python", action="append", default=[], help="Python with other parsers")
    parser.add_argument("--cases", type=Path, default=CASES, help="folder with expected.json")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file for the results")
    return parser.parse_args()


class Score:
    """Counts of what one parser makes of the files."""

    def __init__(self, pedals: bool):
        self._pedals = pedals
        self._milliseconds: list[float] = []
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._wrong: list[str] = []
        self.judged = 0

    def add(self, name: str, answer: dict, reference: dict | None) -> None:
        """Counts the answer to a file.

        Args:
            name: of the file.
            answer: of the parser.
            reference: notes with and without pedals, by "True" and "False"; None if not judged.
        """
        is_read = "notes" in answer
        self._counts["read"] += is_read
        if answer.get("error") in ("crash", f"over {LIMIT_SECONDS:g} s"):
            self._failures[answer["error"]] += 1
        if reference is None:
            return
        self.judged += 1
        if not is_read:
            self._counts["refused"] += 1
            self._wrong.append(name)
            return
        self._milliseconds.append(1000 * answer["seconds"])
        table = as_table(answer["notes"])
        right = agree(table, as_table(reference[str(self._pedals)]))
        self._counts.update(aspect for aspect in ASPECTS if right[aspect])
        self._counts["right"] += all(right.values())
        if not all(right.values()):
            self._wrong.append(name)

    def summary(self) -> dict[str, Any]:
        """Returns the counts, the median time, and the first five files that are not right."""
        counts = {key: self._counts[key] for key in ("read", "refused", *ASPECTS, "right")}
        median = statistics.median(self._milliseconds) if self._milliseconds else None
        return {
            **counts,
            "failures": dict(self._failures),
            "median_ms": median,
            "wrong": self._wrong[:5],
        }


def judge(
    files: list[Path], folder: Path, readers: dict[str, Reader], scores: dict[str, Score]
) -> list[str]:
    """Reads all files with all parsers; returns those about which the players disagree."""
    players = Reader("play", [sys.executable])
    disputed = []
    for path in tqdm(files, disable=None):
        name = str(path.relative_to(folder))
        reference, is_disputed = choose(players(str(path)))
        if is_disputed:
            disputed.append(name)
        for parser, reader in readers.items():
            scores[parser].add(name, reader(str(path)), reference)
    players.stop()
    return disputed


def choose(played: dict) -> tuple[dict | None, bool]:
    """Returns what is right for a file, None if unknown, and whether the players disagree."""
    fluid, merged = played.get("fluidsynth"), played.get("mido")
    if played.get("type") == 2:
        return None, False
    if not any(notes and notes["True"] for notes in (fluid, merged)):
        return None, False
    if fluid is None or merged is None or played["ports"]:
        return merged if merged is not None else fluid, False
    same = all(agree(as_table(fluid["True"]), as_table(merged["True"])).values())
    return (merged, False) if same else (None, True)


def failed_cases(folder: Path, expected: dict, reader: Reader) -> list[str]:
    """Returns the names of the cases that are not as expected."""
    failed = []
    for name, case in expected.items():
        answer = reader(str(folder / name))
        if isinstance(case["notes"], str):
            is_right = "notes" not in answer
        else:
            notes = as_table(answer.get("notes", []))
            is_right = "notes" in answer and all(agree(notes, as_table(case["notes"])).values())
        if not is_right:
            failed.append(name)
    return failed


def best_milliseconds(readers: dict[str, Reader], path: Path) -> dict[str, float]:
    """Returns the shortest of several times, taken in turns."""
    times = {name: [] for name in readers}
    for _ in range(ROUNDS):
        for name, reader in readers.items():
            times[name].append(1000 * reader(str(path))["seconds"])
    return {name: min(values) for name, values in times.items()}


def grown_mb(name: str, pythons: Iterable[str], short: Path, long: Path) -> float:
    """Returns the megabytes by which a process grows when it reads a file after a short one."""
    reader = Reader(name, pythons)
    reader(str(short))
    grown = reader(f"memory {long}")["bytes"]
    reader.stop()
    return grown / 1e6


def write_song(path: Path, num_notes: int) -> None:
    """Writes a song of type 1 with a track per channel, changes of tempo, and pedals."""
    rng = np.random.default_rng(0)
    tempos = mido.MidiTrack(
        mido.MetaMessage("set_tempo", tempo=int(rng.integers(300_000, 700_000)), time=2_000)
        for _ in range(max(num_notes // 200, 1))
    )
    file = mido.MidiFile(ticks_per_beat=480, tracks=[tempos])
    for channel in range(NUM_CHANNELS):
        timed = [(0, mido.Message("program_change", channel=channel, program=8 * channel))]
        onset = 0
        for number in range(num_notes // NUM_CHANNELS):
            onset += int(rng.integers(1, 300))
            key, velocity = int(rng.integers(30, 100)), int(rng.integers(1, 128))
            press = mido.Message("note_on", channel=channel, note=key, velocity=velocity)
            timed += [(onset, press), (onset + 200, press.copy(velocity=0))]
            if channel == 0 and number % 8 == 0:
                value = 127 * (number % 16 == 0)
                pedal = mido.Message("control_change", channel=0, control=64, value=value)
                timed.append((onset + 1, pedal))
        timed.sort(key=lambda item: item[0])
        ticks = [tick for tick, _ in timed]
        waits = np.diff(ticks, prepend=0).tolist()
        file.tracks.append(
            mido.MidiTrack(
                message.copy(time=wait) for (_, message), wait in zip(timed, waits, strict=True)
            )
        )
    file.save(path)


def report(results: dict) -> None:
    """Prints the results."""
    judged, cases, rows = results["judged"], results["cases"], results["parsers"]
    print(f"{results['files']} files, of which {judged} are judged;")
    print(f"the players disagree about {len(results['disputed'])}: {results['disputed']}\n")
    print(
        f"| parser | version | reads | refuses, of {judged} | notes right | offsets | programs "
        f"| drums | all | ms, median | ms, {NUM_NOTES:,} notes | MB | cases, of {cases} |"
    )
    print(f"|---{'|---:' * 12}|")
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["right"]):
        cells = [row[key] for key in ("version", "read", "refused", *ASPECTS, "right")]
        cells += [f"{row['median_ms'] or 0:.1f}", f"{row['long_ms']:.0f}", f"{row['long_mb']:.0f}"]
        print(f"| {name} | {' | '.join(map(str, [*cells, row['cases']]))} |")
    for name, row in rows.items():
        if row["failures"]:
            print(f"{name}: {row['failures']}")
    if {"spectrodiff", "note-seq"} <= rows.keys():
        ours, theirs = (rows[name]["long_ms"] for name in ("spectrodiff", "note-seq"))
        print(f"\n{NUM_NOTES:,} notes: {ours:.0f} ms, note-seq {theirs:.0f} ms: ", end="")
        print(f"{theirs / ours:.1f} times as fast")


if __name__ == "__main__":
    main()
