"""Inversion of the features of a recording, for evaluating an inverter by ear."""

import argparse
from collections.abc import Sequence

from spectrodiff.audio.files import read_audio, write_audio
from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_inverter, add_second_out, take_second_out
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.files import local_path


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    flags = parse_flags(arguments)
    # Imported here so that --help is fast.
    import numpy as np

    from spectrodiff.audio.features import log_mel
    from spectrodiff.inverter.loading import default_name, open_inverter
    from spectrodiff.inverter.windows import invert

    inverter = open_inverter(flags.inverter or default_name())
    features = np.asarray(log_mel(read_audio(flags.recording, SAMPLE_RATE)))
    audio = invert(inverter, features)
    write_audio(flags.out, audio, SAMPLE_RATE)
    seconds = len(audio) / SAMPLE_RATE
    values = {"out": flags.out, "seconds": seconds, "inverter": inverter.name}
    print_result(flags, f"{written(flags.out)}  {seconds:.1f} s, {inverter.name}", values)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog=usage_name("invert"),
        description="Converts a recording to features and back to audio: the upper limit of the "
        "quality of a synthesizer with this inverter.",
    )
    add = parser.add_argument
    add("recording", type=local_path, metavar="IN", help="audio file")
    add_second_out(parser, ".wav, .flac or .ogg file")
    add_inverter(parser)
    add_json(parser, "out, seconds and inverter")
    flags = parser.parse_args(arguments)
    take_second_out(parser, flags)
    return flags
