"""Command `play`: a page in the browser that plays songs while they are rendered."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spectrodiff.checkpoints.bundled import UNTRAINED, default_model
from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import (
    add_device,
    add_inverter,
    add_max_minutes,
    add_model,
    add_precision,
    add_score_phases,
    check_max_minutes,
)
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.sampling import add_sampling_flags, sampling_of, warn_of_sampling
from spectrodiff.commands.shared.songs import find_song
from spectrodiff.core.errors import printable
from spectrodiff.core.extras import need_extra
from spectrodiff.core.files import package_folder
from spectrodiff.core.runtime import enable_compilation_cache, find_devices
from spectrodiff.diffusion.sampling import PAPER_SAMPLING

if TYPE_CHECKING:
    from spectrodiff.player.studio import PlayedModel

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> None:
    """Serves the page until it is stopped."""
    flags = parse_flags(arguments)
    need_extra("play", "play")
    check_max_minutes(flags)
    from spectrodiff.player.server import is_loopback, open_browser, open_socket, serve
    from spectrodiff.player.studio import Studio, read_file

    # Errors in flags and songs come before the model is loaded.
    song = None if flags.song is None else read_file(Path(flags.song), flags.max_minutes)
    listener = open_socket(flags.host, flags.port)
    examples = {path.stem: path for path in sorted(package_folder("examples").glob("*.mid"))}
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
    from spectrodiff.synthesis.segments.model import overlap_of

    changes = sampling_of(flags)
    PAPER_SAMPLING.but(**changes)  # errors come before a model is loaded
    devices = find_devices(flags.device)
    models = {}
    for name in dict.fromkeys(names):
        title = shown(name)
        logger.info("loading %s", printable(title))
        synth = load(
            name,
            inverter=flags.inverter,
            score_phases=flags.score_phases,
            precision=flags.precision,
            devices=devices,
        )
        own = synth.sampling
        warn_of_sampling(changes, own, kind=synth.config.kind, model=title)
        synth.sampling = own.but(**changes)
        overlap_of(synth.sampling, synth.config)  # raises ConfigError if it is impossible
        notice = "This model is untrained: it renders noise." if name == UNTRAINED else ""
        models[title] = PlayedModel(title, synth, notice, own.steps)
    return models


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the flags."""
    parser = Parser(
        prog=usage_name("play"),
        description="Opens a page in the browser that plays songs while they are rendered: drop a "
        "MIDI file, change instruments, tempo and settings while it plays, or play a keyboard.",
    )
    add = parser.add_argument
    add("song", type=find_song, nargs="?", metavar="SONG.mid", help="MIDI file to open with")
    note = f"can be repeated to choose on the page (default: {default_model()})"
    add_model(parser, note, action="append")
    add_inverter(parser)
    add_score_phases(parser)
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
    add_max_minutes(parser)
    add_precision(parser)
    add_device(parser)
    add_sampling_flags(parser)
    return parser.parse_args(arguments)
