"""FAD of stored embeddings beside fadtk and frechet_audio_distance: agreement, time, memory.

    python -m venv /tmp/fadtk && /tmp/fadtk/bin/pip install fadtk
    python -m venv /tmp/package && /tmp/package/bin/pip install frechet_audio_distance
    python benchmarks/fad.py --fadtk /tmp/fadtk/bin/python --package /tmp/package/bin/python

All read the same files of random vectors in float16, as fadtk writes them. Every task runs in a new
process, in turns; the table has the least time, and the peak of memory above that after the
imports, of the process and its children. Ours always includes FAD-infinity.
`benchmarks/scoring.py` compares the network VGGish.
"""

import argparse
import contextlib
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np

NAME = "made-up"
# Files per side, frames per file, dimensions: as of VGGish, CLAP and MERT.
SIZES = {
    "128 dims, 200 files of 5 min": (200, 312, 128),
    "512 dims, 50 files of 4 min": (50, 240, 512),
    "768 dims, 20 files of 30 s": (20, 2250, 768),
}
TASKS = ("distance", "infinity", "per_file")
ROUNDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fadtk", help="Python with fadtk")
    parser.add_argument("--package", help="Python with frechet_audio_distance")
    parser.add_argument(
        "--run", nargs=3, metavar=("ROLE", "TASK", "FOLDER"), help=argparse.SUPPRESS
    )
    flags = parser.parse_args()
    if flags.run:
        role, task, folder = flags.run
        run(role, task, Path(folder))
        return
    pythons = {"ours": sys.executable, "fadtk": flags.fadtk, "package": flags.package}
    roles = {role: python for role, python in pythons.items() if python}
    print(
        "| embeddings | task | tool | result | s | CPU s | MB |\n|---|---|---|---:|---:|---:|---:|"
    )
    for title, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), *size)
            for task in TASKS:
                answers: dict[str, list[dict]] = {role: [] for role in roles}
                for _ in range(ROUNDS):
                    for role, python in roles.items():
                        answers[role].append(ask(python, role, task, folder))
                for role, found in answers.items():
                    if None in found:
                        continue
                    seconds, cpu, megabytes = (
                        min(one[key] for one in found) for key in ("seconds", "cpu", "megabytes")
                    )
                    print(
                        f"| {title} | {task} | {role} | {found[0]['result']:.10g} "
                        f"| {seconds:.2f} | {cpu:.2f} | {megabytes:.0f} |",
                        flush=True,
                    )


def write(folder: Path, files: int, frames: int, dims: int) -> None:
    """Writes both sides in fadtk's layout: empty audio files, and embeddings beside them."""
    rng = np.random.default_rng(0)
    scales = 1 / np.sqrt(np.arange(1, dims + 1))
    for side, shift in (("evaluated", 0.1), ("reference", 0.0)):
        embeddings = folder / side / "embeddings" / NAME
        embeddings.mkdir(parents=True)
        mixing = rng.normal(size=(dims, dims)) / np.sqrt(dims)
        for number in range(files):
            (folder / side / f"{number}.wav").touch()
            song = shift + 0.5 * rng.normal(size=dims)
            vectors = (rng.normal(size=(frames, dims)) @ mixing + song) * scales
            np.save(embeddings / f"{number}.npy", vectors.astype(np.float16))


def ask(python: str, role: str, task: str, folder: str) -> dict | None:
    """Runs a task in a new process; None if the tool does not have it."""
    command = [python, str(Path(__file__).resolve()), "--run", role, task, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{role}, {task}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run(role: str, task: str, folder: Path) -> None:
    """Prints result, time and memory of a task as JSON."""
    function = {"ours": our_task, "fadtk": fadtk_task, "package": package_task}[role](task, folder)
    if function is None:
        print(json.dumps(None))
        return
    before, start, cpu = peak(), time.perf_counter(), cpu_seconds()
    with contextlib.redirect_stdout(sys.stderr):
        result = function()
    answer = {
        "result": float(result),
        "seconds": time.perf_counter() - start,
        "cpu": cpu_seconds() - cpu,
        "megabytes": (peak() - before) / 1e3,
    }
    print(json.dumps(answer))


def cpu_seconds() -> float:
    """Returns the time of all cores that this process and its children have used."""
    times = os.times()
    return sum(times[:4])


def peak() -> float:
    """Returns the peak memory of this process and its largest child so far, in kilobytes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(one).ru_maxrss for one in who)


def our_task(task: str, folder: Path):
    from spectrodiff.evaluation.folders.distance import folder_distance

    sides = [folder / side / "embeddings" / NAME for side in ("evaluated", "reference")]
    importlib.import_module("scipy.linalg")

    def compute() -> float:
        found = folder_distance(*sides, replicates=0, per_file=task == "per_file")
        if task == "per_file":
            return np.mean(list(found.per_file.values()))
        if task == "distance":
            return found.distance
        return np.nan if found.extrapolated is None else found.extrapolated

    return compute


def fadtk_task(task: str, folder: Path):
    from fadtk.fad import FrechetAudioDistance

    loader = types.SimpleNamespace(name=NAME)
    fad = FrechetAudioDistance(loader, load_model=False)
    evaluated, reference = folder / "evaluated", folder / "reference"
    for side in (evaluated, reference):
        shutil.rmtree(side / "stats", ignore_errors=True)

    def compute() -> float:
        if task == "distance":
            return np.real(fad.score(reference, evaluated))
        if task == "infinity":
            np.random.seed(0)  # noqa: NPY002, the package uses it
            return fad.score_inf(reference, sorted((evaluated / "embeddings" / NAME).iterdir()))[0]
        table = folder / "scores.csv"
        table.unlink(missing_ok=True)
        # It takes everything with a dot for audio.
        fad.score_individual(reference, evaluated, table)
        return np.mean([float(line.split(",")[1]) for line in table.read_text().splitlines()])

    return compute


def package_task(task: str, folder: Path):
    if task != "distance":
        return None
    # For networks, which are not needed here, but always imported.
    for module in ("laion_clap", "encodec"):
        try:
            importlib.import_module(module)
        except Exception:  # some versions download when they are imported
            sys.modules[module] = types.SimpleNamespace(EncodecModel=None)
    from frechet_audio_distance import FrechetAudioDistance

    package = FrechetAudioDistance.__new__(FrechetAudioDistance)

    def compute() -> float:
        moments = []
        for side in ("evaluated", "reference"):
            files = sorted((folder / side / "embeddings" / NAME).iterdir())
            frames = np.concatenate([np.load(file).astype(np.float32) for file in files])
            moments += package.calculate_embd_statistics(frames)
        return package.calculate_frechet_distance(*moments)

    return compute


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
