"""Run of a recipe: renders songs, and trains synthesizer, student and inverter meanwhile.

All are saved during training, so that a stopped run leaves its last state.
"""

import concurrent.futures
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from spectrodiff.checkpoints.layouts.store import SETTINGS
from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import check_writable
from spectrodiff.recipe.inverter import InverterTraining
from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.settings import Recipe, RunOptions
from spectrodiff.recipe.songs import SongMaker
from spectrodiff.recipe.student import STUDENT, StudentTraining
from spectrodiff.recipe.supply import SongSupply
from spectrodiff.recipe.synthesizer import MODEL, SynthesizerTraining

LOG = "recipe.jsonl"


def run(recipe: Recipe, maker: SongMaker, options: RunOptions) -> None:
    """Runs a recipe; writes `model/`, `student/`, `inverter.safetensors` (float16) and a log.

    Args:
        recipe: networks, songs and stages.
        maker: makes the songs.
        options: duration and folder.

    Raises:
        CorpusError: if songs cannot be rendered.
        CheckpointError: if a model or inverter to start from does not fit.
        OutputError: if the folder cannot be written to.
    """
    deadline = time.monotonic() + 60 * options.minutes
    check_writable(options.out)
    for name, network in ((MODEL, "synthesizer"), (STUDENT, "student")):
        if network in options.train:
            _check_replaceable(options.out / name)
    log = RecipeLog(options.out / LOG)
    log.note(f"on {jax.devices()[0].device_kind}, {options.workers} processes render")
    songs = SongSupply(recipe, maker, options.workers)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as compilers:
            _train(recipe, options, songs, log, compilers, deadline)
    finally:
        songs.close()


def _check_replaceable(folder: Path) -> None:
    """Checks that a folder, which will be replaced, holds a model or nothing."""
    ours = (folder / SETTINGS).is_file()
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(folder, "a model to replace, or nothing", "something else")


def _train(
    recipe: Recipe,
    options: RunOptions,
    songs: SongSupply,
    log: RecipeLog,
    compilers: concurrent.futures.Executor,
    deadline: float,
) -> None:
    synthesizer = student = inverter = None
    if "synthesizer" in options.train:
        synthesizer = SynthesizerTraining(recipe, options, songs, compilers)
    if "student" in options.train:
        student = StudentTraining(recipe, options, songs, compilers)
    if "inverter" in options.train:
        inverter = InverterTraining(recipe, options, songs, compilers)
    songs.wait_for(recipe.first_songs)
    log.note(str(songs.on_device))
    if synthesizer is not None:
        synthesizer.wait()
    ends = networks_end(recipe, options.train, time.monotonic(), deadline)
    teacher = None
    if synthesizer is not None:
        teacher = synthesizer.train(ends["synthesizer"], log)
        log.note(str(songs.on_device))
    if student is not None:
        student.train(teacher, ends["student"], log)
    if inverter is not None:
        inverter.train(ends["inverter"], log)
    log.note("done")


def networks_end(
    recipe: Recipe, trained: Sequence[str], begin: float, deadline: float
) -> dict[str, float]:
    """Returns the time at which the training of each network ends.

    Args:
        recipe: fractions of the time; they are relative to those of the networks that are trained.
        trained: names of the networks.
        begin: when the training begins.
        deadline: when it ends.
    """
    shares = {"student": recipe.student_share, "inverter": recipe.inverter_share}
    shares = {"synthesizer": 1 - sum(shares.values()), **shares}
    shares = {name: share for name, share in shares.items() if name in trained}
    whole, done = sum(shares.values()), itertools.accumulate(shares.values())
    return {
        name: begin + part / whole * (deadline - begin)
        for name, part in zip(shares, done, strict=True)
    }
