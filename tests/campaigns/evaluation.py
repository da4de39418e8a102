"""Evaluations killed at random moments end in the scores of one that was not.

    python -m tests.campaigns.evaluation --kills 30 --seed 0

evaluates a tiny model, kills the process after random times until it has been killed often enough,
lets it finish, and compares `scores.json` with that of an evaluation that was never killed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.commands import program
from tests.support.corpora import write_notes, write_tone

ROOT = Path(__file__).parents[2]
SONGS = 6


def main(arguments: Sequence[str]) -> int:
    """Runs the campaign of the command line; returns 0 if all scores agree."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10, help="number of kills (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_corpus(home)
        start = time.monotonic()
        finish(command(home, "whole"))
        seconds = time.monotonic() - start
        rng = random.Random(options.seed)
        kills = evaluations = 0
        while kills < options.kills:
            # A run that goes on has less to do; most of its time is the start.
            kills += killed(command(home, "killed"), rng.uniform(0.3, 1.0) * seconds)
            if (home / "killed/scores.json").exists() or kills == options.kills:
                finish(command(home, "killed"))
                check(home, "killed")
                evaluations += 1
                (home / "killed").rename(home / f"killed-{evaluations}")
    print(f"{kills} kills of {evaluations} evaluations, the same scores")
    return 0


def write_corpus(home: Path) -> None:
    """Prepares a corpus of short recordings."""
    for number in range(SONGS):
        name = home / "pairs/test" / str(number)
        write_tone(name.with_suffix(".wav"), 0.6 + 0.3 * number, hertz=220 * (number + 1))
        write_notes(name.with_suffix(".mid"), (0.1, 0.3, 60), (0.2, 0.5, 64 + number))
    flags = ["--source", str(home / "pairs"), "--data_dir", str(home / "data")]
    program.run(program.main, ["prepare", "pairs", *flags])


def command(home: Path, out: str) -> list[str]:
    """Returns the command of an evaluation."""
    words = ["eval.py", "--model", str(ROOT / "tests/golden/checkpoints/diffusers")]
    words += ["--dataset", "pairs", "--data_dir", str(home / "data"), "--out", str(home / out)]
    for setting in ("steps = 2", "speed_segments = 0", "batch_size = 4", "replicates = 5"):
        words += ["--gin_bindings", f"Evaluation.{setting}"]
    return [sys.executable, *words]


def environment() -> dict[str, str]:
    """Returns the environment of an evaluation, with one device."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}


def finish(words: list[str]) -> None:
    """Runs an evaluation to its end."""
    subprocess.run(words, cwd=ROOT, env=environment(), check=True, capture_output=True)


def killed(words: list[str], seconds: float) -> bool:
    """Runs an evaluation and kills it after some time; returns False if it was done before."""
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def check(home: Path, out: str) -> None:
    """Compares scores with those of the evaluation that was not killed."""
    ours, whole = (json.loads((home / name / "scores.json").read_text()) for name in (out, "whole"))
    for name in whole:
        if name != "created" and ours[name] != whole[name]:
            raise AssertionError(f"{name} differs:\n{ours[name]}\n{whole[name]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
