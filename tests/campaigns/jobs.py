"""Commands that campaigns interrupt: inputs, command lines, and what they must write."""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.commands import program
from spectrodiff.core.files import PARTIAL
from spectrodiff.data.prepare.soundfont import DEBIAN_SOUNDFONTS
from spectrodiff.data.recordings import Recording
from spectrodiff.data.source import load_source
from spectrodiff.music.notes import NOTE_COLUMNS
from tests.campaigns.harness import ROOT
from tests.support import tiny
from tests.support.corpora import write_notes, write_tone

CHECKPOINTS = ROOT / "tests/golden/checkpoints"
# Every kind of work happens in these steps: evaluations, previews, checkpoints, several at once.
TRAINING_GIN = f"""
{tiny.NETWORK_GIN}Network.dropout = 0.1
Optimization.ema_decay = 0.99
Training.steps = 8
Training.batch_size = 4
Training.log_every = 1
Training.evaluate_every = 4
Training.evaluation_examples = 2
Training.previews = 1
Training.preview_every = 4
Training.save_every = 2
Training.keep = 2
Data.corpora = ['pairs/own']
Data.workers = 0
Sampling.sampler = 'dpmpp'
Sampling.steps = 2
"""

# Contents of results, by name: checksums of files, or what matters in them.
Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Job:
    """A command.

    Attributes:
        write: writes what the command reads into a folder.
        words: returns the command line, from that folder and the place of the result.
        result: returns what is in the result, all of which an interrupted command must write, too.
        at_once: the result appears as a whole, not file by file.
        refuses: the command refuses a result that is complete.
        resumes: returns what the next process says, from the result so far.
        kept: endings of files that take long; those that are there are not written again.
        leaves: hidden files of killed processes stay, since others may be writing such files.
    """

    write: Callable[[Path], None]
    words: Callable[[Path, Path], list[str]]
    result: Callable[[Path], Result]
    at_once: bool = False
    refuses: bool = False
    resumes: Callable[[Path], str] = lambda out: ""
    kept: tuple[str, ...] = ()
    leaves: bool = False


def checksums(folder: Path) -> Result:
    """Returns checksums of the files in a folder, or of a file, that have their final names."""
    if folder.is_file():
        return {"": _checksum(folder)}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: _checksum(path) for name, path in names.items() if not _passing(name)}


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _passing(name: str) -> bool:
    """Returns True for files that are not part of a result: unfinished ones and locks."""
    return name.endswith(".lock") or f"/{PARTIAL}" in f"/{name}" or "/incomplete." in f"/{name}"


def _without(result: Result, *beginnings: str) -> Result:
    return {name: value for name, value in result.items() if not name.startswith(beginnings)}


def _write_pairs(folder: Path, seconds: float = 1.5) -> None:
    for number in range(4):
        name = folder / "pairs" / ("train" if number else "validation") / str(number)
        write_tone(name.with_suffix(".wav"), seconds, hertz=220 * (number + 1))
        notes = [(0.1 * i, 0.1 * i + 0.09, 40 + 7 * number + i) for i in range(12)]
        write_notes(name.with_suffix(".mid"), *notes)


def _write_corpus(folder: Path, seconds: float = 1.5) -> None:
    _write_pairs(folder, seconds)
    flags = ["--source", str(folder / "pairs"), "--data_dir", str(folder / "data")]
    with contextlib.redirect_stdout(io.StringIO()):  # results of a campaign go there
        assert program.run(program.main, ["prepare", "pairs", *flags]) == 0


def _python(*words: object) -> list[str]:
    return [sys.executable, *map(str, words)]


def _spectrodiff(*words: object) -> list[str]:
    return _python("-m", "spectrodiff", *words)


# Training


def _write_training(folder: Path) -> None:
    _write_corpus(folder)
    (folder / "tiny.gin").write_text(TRAINING_GIN)


def _train(home: Path, out: Path) -> list[str]:
    flags = ("--gin_file", home / "tiny.gin", "--data_dir", home / "data", "--run_dir", out)
    return _python(ROOT / "train.py", *flags)


def _train_with_a_worker(home: Path, out: Path) -> list[str]:
    return [*_train(home, out), "--gin_bindings", "Data.workers = 1"]


def _run(folder: Path) -> Result:
    """Returns files, metrics of all steps and arrays of all checkpoints of a run."""
    moving = ("checkpoints/", "tensorboard/", "environment.json", "metrics.jsonl")
    result = _without(checksums(folder), *moving)
    rows = folder / "metrics.jsonl"
    if rows.exists():
        for number, line in enumerate(rows.read_text().splitlines()):
            result[f"row {number}"] = _without(json.loads(line), "examples_per_second")
    checkpoints = folder / "checkpoints"
    for step in sorted(checkpoints.iterdir()) if checkpoints.exists() else ():
        result[f"checkpoint {step.name}"] = _checkpoint(step) if step.name.isdecimal() else ""
    return result


def _newest(folder: Path) -> str:
    """Returns what a process says that resumes a run from its newest checkpoint."""
    places = (folder / "checkpoints").glob("*")
    steps = [int(path.name) for path in places if path.name.isdecimal()]
    return f"resuming after step {max(steps)}" if steps else ""


def _checkpoint(folder: Path) -> Result:
    import jax
    from orbax.checkpoint import v1 as ocp

    try:
        with warnings.catch_warnings(action="ignore"):  # about other devices
            parts = ocp.load_checkpointables(folder)
    except Exception as error:  # an old one that was being removed
        return {"error": str(error)}
    arrays = jax.tree_util.tree_flatten_with_path(parts)[0]
    return {
        jax.tree_util.keystr(path): hashlib.sha256(np.asarray(array).tobytes()).hexdigest()
        for path, array in arrays
    }


# Evaluation


def _write_evaluation(folder: Path) -> None:
    _write_corpus(folder, 0.8)
    shutil.copytree(CHECKPOINTS / "diffusers", folder / "model")


def _evaluate(home: Path, out: Path) -> list[str]:
    words = ["--model", home / "model", "--dataset", "pairs:train", "--out", out]
    words += ["--data_dir", home / "data", "--steps", 2, "--batch_size", 2]
    for setting in ("speed_segments = 0", "replicates = 5", "title = 'killed'"):
        words += ["--gin_bindings", f"Evaluation.{setting}"]
    return _python(ROOT / "eval.py", *words)


def _evaluation(folder: Path) -> Result:
    # These name the time of the evaluation and the path of the model.
    result = _without(checksums(folder), "scores.json", "index.html", "table.md")
    if (folder / "scores.json").exists():
        scores = json.loads((folder / "scores.json").read_text())
        result["scores.json"] = _without(scores, "created", "model")
    if (folder / "table.md").exists():
        lines = (folder / "table.md").read_text().splitlines()
        result["table.md"] = [line for line in lines if not line.endswith("/inputs/model")]
    if (folder / "index.html").exists():
        result["index.html"] = (folder / "index.html").read_text().rstrip().endswith("</html>")
    return result


# Preparation


def _prepare(home: Path, out: Path) -> list[str]:
    return _spectrodiff("prepare", "pairs", "--source", home / "pairs", "--data_dir", out)


def _prepare_with_workers(home: Path, out: Path) -> list[str]:
    return [*_prepare(home, out), "--workers", "2"]


def _write_songs(folder: Path) -> None:
    for number in range(4):
        notes = [(0.05 * i, 0.05 * i + 0.09, 40 + 7 * number + i) for i in range(12)]
        write_notes(folder / "songs" / f"{number}.mid", *notes, program=8 * number)


def _render_corpus(home: Path, out: Path) -> list[str]:
    words = ("--source", home / "songs", "--data_dir", out, "--soundfont", soundfont())
    return _spectrodiff("prepare", "soundfont", *words)


def soundfont() -> Path | None:
    """Returns the smallest soundfont there is; None if there is no FluidSynth."""
    found = [path for path in DEBIAN_SOUNDFONTS.values() if path.is_file()]
    if not found or not shutil.which("fluidsynth"):
        return None
    return min(found, key=lambda path: path.stat().st_size)


def _corpus(folder: Path) -> Result:
    """Returns the recordings of a corpus and the files beside them.

    In files of records the names within a record are in any order.
    """
    result = {}
    for name, value in checksums(folder).items():
        if ".array_record" in name:
            corpus, config, _, file = name.split("/")
            source = load_source(folder, f"{corpus}/{config}", file.split(".")[0].split("-")[1])
            result[name] = [_recording(source[number]) for number in range(len(source))]
        elif "/rendered/" not in name:  # songs, until there is a corpus
            result[name] = value
    return result


def _recording(recording: Recording) -> list[str]:
    columns = [getattr(recording.notes, name) for name in NOTE_COLUMNS]
    arrays = [recording.audio, *columns, np.float64(recording.notes.total_seconds)]
    return [recording.id, *(hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in arrays)]


# Conversion


def _nothing(folder: Path) -> None:
    folder.mkdir(exist_ok=True)


def _convert(source: object, *flags: str) -> Callable[[Path, Path], list[str]]:
    return lambda home, out: _spectrodiff("convert", source, out, *flags)


# Rendering of songs


def _sample(home: Path, out: Path) -> list[str]:
    songs = sorted((home / "songs").iterdir())
    flags = ("--model", CHECKPOINTS / "diffusers", "--inverter", "griffin-lim", "--steps", 2)
    return _python(ROOT / "sample.py", *songs, *flags, "--out", f"{out}/")


def _play(home: Path, out: Path) -> list[str]:
    flags = ("--model", CHECKPOINTS / "diffusers", "--inverter", "griffin-lim", "--no_browser")
    return _spectrodiff("play", home / "songs/0.mid", *flags, "--port", 0, "--steps", 2)


# The page of `play`, which is open until it is stopped.
PAGE = Job(_write_songs, _play, checksums)

JOBS: Mapping[str, Job] = {
    "train": Job(_write_training, _train, _run, resumes=_newest),
    "train with a worker": Job(_write_training, _train_with_a_worker, _run, resumes=_newest),
    "evaluate": Job(_write_evaluation, _evaluate, _evaluation, kept=(".flac", ".npy"), leaves=True),
    "prepare": Job(_write_pairs, _prepare, _corpus, at_once=True),
    "prepare with workers": Job(_write_pairs, _prepare_with_workers, _corpus, at_once=True),
    "render a corpus": Job(_write_songs, _render_corpus, _corpus, at_once=True),
    "convert": Job(_nothing, _convert(CHECKPOINTS / "t5x"), checksums, at_once=True, refuses=True),
    "convert for diffusers": Job(
        _nothing,
        _convert("untrained", "--layout", "diffusers"),
        checksums,
        at_once=True,
        refuses=True,
    ),
    "convert to ONNX": Job(
        _nothing, _convert("untrained", "--layout", "onnx"), checksums, at_once=True, refuses=True
    ),
    "sample": Job(_write_songs, _sample, checksums, leaves=True),
}
