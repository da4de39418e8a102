"""Inversion of the features of a recording, to hear what an inverter loses."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.audio.files import read_audio, write_audio
from spectrodiff.commands.program import usage_name
from spectrodiff.core.constants import SAMPLE_RATE


def main(arguments: Sequence[str]) -> None:
    """Computes the features of the recording that the command line names, and inverts them."""
    flags = parse_flags(arguments)
    # Only now, so that --help answers at once.
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
    parser = argparse.ArgumentParser(
        prog=usage_name("invert"),
        description="Turns a recording into features and back into audio: all that a perfect "
        "synthesizer could give with this inverter.",
    )
    add = parser.add_argument
    add("recording", type=Path, metavar="IN", help="an audio file")
    add("out", type=Path, metavar="OUT", help="a .wav, .flac or .ogg file")
    add(
        "--inverter",
        help="an inverter as sample.py takes it (default: the bundled one, else griffin-lim)",
    )
    return parser.parse_args(arguments)
