"""Trains a model, its student and an inverter from a soundfont in a given number of minutes.

    spectrodiff recipe mini --minutes 9 --out out/mini

composes music, renders it with FluidSynth on all cores, and trains the networks meanwhile.
Learning rates depend on the elapsed time. On an accelerator, no part of a step runs on the host.
"""

import argparse
import dataclasses
from collections.abc import Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import (
    add_init_from,
    add_out,
    add_seed,
    add_soundfont,
    add_workers,
    minutes,
)
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.files import local_path
from spectrodiff.core.runtime import enable_compilation_cache, keep_memory, num_cores


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    flags = _parser().parse_args(arguments)
    keep_memory()
    enable_compilation_cache()
    import jax

    from spectrodiff.data.prepare.soundfont import SoundfontRenderer
    from spectrodiff.recipe.run import run
    from spectrodiff.recipe.settings import RECIPES, RunOptions
    from spectrodiff.recipe.songs import SongMaker

    recipe = RECIPES[flags.recipe].from_stage(flags.from_stage)
    if jax.default_backend() == "cpu" and flags.recipe != "tiny":
        recipe = recipe.on_cpu()
    maker = SongMaker(recipe, flags.seed, SoundfontRenderer(flags.soundfont, gain=recipe.gain))
    names = {field.name for field in dataclasses.fields(RunOptions)}
    run(recipe, maker, RunOptions(**{k: v for k, v in vars(flags).items() if k in names}))
    print_result(flags, written(flags.out), {"out": flags.out})


def _parser() -> Parser:
    parser = Parser(
        prog=usage_name("recipe"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("recipe", choices=("mini", "tiny"), help="settings; tiny is for a quick test")
    add("--minutes", type=minutes, required=True, help="duration of the whole run in minutes")
    add_out(parser, "folder for the weights and the log", required=True)
    add_seed(parser, "the music, the parameters and the steps")
    add_workers(parser, num_cores(), "one per core")
    add_soundfont(parser)
    add_init_from(parser)
    add(
        "--from_stage",
        type=int,
        default=1,
        help="number of the first stage to train; a model to start from has been through the "
        "stages before it (default: 1)",
    )
    add(
        "--init_inverter",
        type=local_path,
        metavar="FILE",
        help="inverter to start from, a .safetensors file (default: random weights)",
    )
    add(
        "--train",
        nargs="+",
        choices=("synthesizer", "student", "inverter"),
        default=("synthesizer", "student", "inverter"),
        help="networks to train; the student learns from the synthesizer, or from --init_from if "
        "only the student is trained (default: all)",
    )
    add_json(parser, "out")
    return parser
