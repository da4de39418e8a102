"""Makes a model and its inverter from a soundfont in a given number of minutes.

    spectrodiff recipe mini --minutes 9 --out out/mini

composes music, renders it with FluidSynth on all cores, and trains both networks meanwhile, with
learning rates that end when the time does. On an accelerator nothing happens on the host per step.
"""

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.commands.flags import minutes
from spectrodiff.commands.program import usage_name
from spectrodiff.core.runtime import enable_compilation_cache, keep_memory


def main(arguments: Sequence[str]) -> None:
    """Runs the command line."""
    options = _parser().parse_args(arguments)
    keep_memory()
    enable_compilation_cache()
    import jax

    from spectrodiff.recipe.options import Options
    from spectrodiff.recipe.pieces import piece_maker
    from spectrodiff.recipe.run import run
    from spectrodiff.recipe.settings import RECIPES

    recipe = RECIPES[options.recipe].from_stage(options.from_stage)
    if jax.default_backend() == "cpu" and options.recipe != "tiny":
        recipe = recipe.on_cpu()
    maker = piece_maker(recipe, options.seed, options.soundfont)
    names = {field.name for field in dataclasses.fields(Options)}
    run(recipe, maker, Options(**{k: v for k, v in vars(options).items() if k in names}))
    print(options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=usage_name("recipe"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("recipe", choices=("mini", "tiny"), help="tiny: a few seconds, for trying it out")
    add("--minutes", type=minutes, required=True, help="how long it may take, all together")
    add("--out", type=Path, required=True, help="folder for the weights and the log")
    add("--seed", type=int, default=0, help="of music, parameters and steps (default: 0)")
    add(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that render (default: one per core)",
    )
    add("--soundfont", type=Path, help="an .sf2 or .sf3 file (default: FluidR3 GM)")
    add("--init_from", metavar="MODEL", help="begin with a model, as sample.py takes it")
    add(
        "--from_stage",
        type=int,
        default=1,
        help="leave out the stages before this one, which the model has been through",
    )
    add("--init_inverter", type=Path, metavar="FILE", help="begin with an inverter")
    add(
        "--train",
        nargs="+",
        choices=("synthesiser", "inverter"),
        default=("synthesiser", "inverter"),
        help="what to train (default: both)",
    )
    return parser
