"""A recipe from beginning to end: render, train the synthesiser, train the inverter, write both.

The time given is all there is: what comes later begins when its share of the rest begins, and what
has been trained is written as it goes, so that a run that is cut off leaves its last state.
"""

import concurrent.futures
import time
from pathlib import Path

import jax

from spectrodiff.checkpoints.layouts.store import SETTINGS
from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import check_writable
from spectrodiff.recipe.inverter import InverterTraining
from spectrodiff.recipe.options import Log, Options
from spectrodiff.recipe.pantry import Pantry
from spectrodiff.recipe.pieces import PieceMaker
from spectrodiff.recipe.settings import Recipe
from spectrodiff.recipe.synthesiser import MODEL, Synthesiser

LOG = "recipe.jsonl"


def run(recipe: Recipe, maker: PieceMaker, options: Options) -> None:
    """Runs a recipe; leaves `model/`, `inverter.safetensors` (float16) and `recipe.jsonl`.

    Args:
        recipe: what to make.
        maker: renders its pieces.
        options: how long, and where to.

    Raises:
        CorpusError: if pieces cannot be rendered.
        CheckpointError: if what it should begin with does not fit.
        OutputError: if the folder cannot be written to.
    """
    deadline = time.monotonic() + 60 * options.minutes
    check_writable(options.out)
    _check_replaceable(options.out / MODEL)
    log = Log(options.out / LOG)
    log.note(f"on {jax.devices()[0].device_kind}, {options.workers} processes render")
    pantry = Pantry(recipe, maker, options.workers)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as compilers:
            _train(recipe, options, pantry, log, compilers, deadline)
    finally:
        pantry.close()


def _check_replaceable(folder: Path) -> None:
    """Refuses to replace what is not a model."""
    ours = (folder / SETTINGS).is_file()
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(folder, "a model to replace, or nothing", "something else")


def _train(
    recipe: Recipe,
    options: Options,
    pantry: Pantry,
    log: Log,
    compilers: concurrent.futures.Executor,
    deadline: float,
) -> None:
    synthesiser = inverter = None
    if "synthesiser" in options.train:
        synthesiser = Synthesiser(recipe, options, pantry, compilers)
    if "inverter" in options.train:
        inverter = InverterTraining(recipe, options, pantry, compilers)
    pantry.fill(recipe.first_pieces)
    log.note(str(pantry.store))
    if synthesiser is not None:
        synthesiser.wait()
        share = 1 - (recipe.inverter_share if inverter is not None else 0)
        synthesiser.train(share * (deadline - time.monotonic()), log)
        log.note(str(pantry.store))
    if inverter is not None:
        inverter.train(deadline, log)
    log.note("done")
