"""Command `play`: a page in the browser that plays songs while they are rendered."""

import argparse
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spectrodiff.checkpoints.bundled import UNTRAINED, default_model
from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_device, check_max_minutes
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.core.errors import ConfigError, printable
from spectrodiff.core.files import local_path
from spectrodiff.core.runtime import enable_compilation_cache, find_devices

if TYPE_CHECKING:
    from spectrodiff.player.studio import PlayedModel

logger = logging.getLogger(__name__)

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = ("starlette", "uvicorn")


def main(arguments: Sequence[str]) -> None:
    """Serves the page until it is stopped."""
    flags = parse_flags(arguments)
    for module in NEEDED:
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                "play", f"the package {module}", "none (pip install 'spectrodiff[play]')"
            )
    check_max_minutes(flags)
    from spectrodiff.player.server import is_loopback, open_browser, open_socket, serve
    from spectrodiff.player.studio import Studio, read_file

    # Errors in flags and songs come before the model is loaded.
    song = None if flags.song is None else read_file(flags.song, flags.max_minutes)
    listener = open_socket(flags.host, flags.port)
    examples = {path.stem: path for path in sorted(EXAMPLES.glob("*.mid"))}
    enable_compilation_cache()
    models = load_models(flags.model or [default_model()], flags)
    studio = Studio(models, examples=examples, max_minutes=flags.max_minutes)
    if song is not None:
        studio.open_with(song)
    studio.warm_up()
    if not is_loopback(flags.host):
        logger.warning(
            "note: everyone who can reach this machine can use the page; it has no passwords"
        )

    def started(address: str) -> None:
        print(printable(address), flush=True)
        logger.info("the page is open at %s until Ctrl-C is pressed", address)
        if not flags.no_browser:
            open_browser(address)

    serve(studio, listener, host=flags.host, on_start=started)


def load_models(names: Sequence[str], flags: argparse.Namespace) -> "dict[str, PlayedModel]":
    """Loads the models that the page offers."""
    from spectrodiff.player.studio import PlayedModel
    from spectrodiff.synthesis.loading import load

    devices = find_devices(flags.device)
    models = {}
    for name in dict.fromkeys(names):
        logger.info("loading %s", printable(name))
        synth = load(name, inverter=flags.inverter, precision=flags.precision, devices=devices)
        notice = "This model is untrained: it renders noise." if name == UNTRAINED else ""
        models[name] = PlayedModel(name, synth, notice)
    return models


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        prog=usage_name("play"),
        description="Opens a page in the browser that plays songs while they are rendered: drop a "
        "MIDI file, change instruments, tempo and settings while it plays, or play a keyboard.",
    )
    add = parser.add_argument
    add("song", type=local_path, nargs="?", metavar="SONG.mid", help="MIDI file to open with")
    add(
        "--model",
        action="append",
        help="model that renders: a name, a folder, the URL of a zip, or a Hugging Face id; can be "
        f"repeated to choose on the page (default: {default_model()})",
    )
    add(
        "--inverter",
        help="inverter from spectrograms to audio, as in spectrodiff sample (default: the model's)",
    )
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen at; others than this machine's own let everyone in who can reach "
        "it (default: %(default)s)",
    )
    add(
        "--port",
        type=int,
        help="port to listen at, 0 for any that is free (default: 8765, or one after it)",
    )
    add("--no_browser", action="store_true", help="only print the address of the page")
    add(
        "--max_minutes",
        type=float,
        default=60.0,
        metavar="MINUTES",
        help="length of the longest song (default: %(default)g)",
    )
    add("--precision", default="float32", help="float32 or bfloat16 (default: %(default)s)")
    add_device(parser)
    return parser.parse_args(arguments)
