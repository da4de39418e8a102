"""Run of a recipe: renders songs, and trains the synthesizer, then the inverter, meanwhile.

Both are saved during training, so that a stopped run leaves its last state.
"""

import concurrent.futures
import time
from pathlib import Path

import jax

from spectrodiff.checkpoints.layouts.store import SETTINGS
from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import check_writable
from spectrodiff.recipe.inverter import InverterTraining
from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.settings import Recipe, RunOptions
from spectrodiff.recipe.songs import SongMaker
from spectrodiff.recipe.supply import SongSupply
from spectrodiff.recipe.synthesizer import MODEL, SynthesizerTraining

LOG = "recipe.jsonl"


def run(recipe: Recipe, maker: SongMaker, options: RunOptions) -> None:
    """Runs a recipe; writes `model/`, `inverter.safetensors` (float16) and `recipe.jsonl`.

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
    _check_replaceable(options.out / MODEL)
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
    synthesizer = inverter = None
    if "synthesizer" in options.train:
        synthesizer = SynthesizerTraining(recipe, options, songs, compilers)
    if "inverter" in options.train:
        inverter = InverterTraining(recipe, options, songs, compilers)
    songs.wait_for(recipe.first_songs)
    log.note(str(songs.on_device))
    if synthesizer is not None:
        synthesizer.wait()
        share = 1 - (recipe.inverter_share if inverter is not None else 0)
        begin = time.monotonic()
        synthesizer.train(begin + share * (deadline - begin), log)
        log.note(str(songs.on_device))
    if inverter is not None:
        inverter.train(deadline, log)
    log.note("done")
