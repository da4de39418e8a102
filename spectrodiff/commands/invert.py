"""Inversion of the features of a recording, for evaluating an inverter by ear."""

import argparse
from collections.abc import Sequence

from spectrodiff.audio.files import read_audio, write_audio
from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
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
    print(f"{flags.out}  {len(audio) / SAMPLE_RATE:.1f} s, {inverter.name}")


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog=usage_name("invert"),
        description="Converts a recording to features and back to audio: the upper limit of the "
        "quality of a synthesizer with this inverter.",
    )
    add = parser.add_argument
    add("recording", type=local_path, metavar="IN", help="audio file")
    add("out", type=local_path, metavar="OUT", help=".wav, .flac or .ogg file")
    add(
        "--inverter",
        help="griffin-lim, a .safetensors or .onnx file, or a run folder (default: the bundled "
        "inverter, or griffin-lim without it)",
    )
    return parser.parse_args(arguments)
