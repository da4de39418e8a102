"""Puts a trained inverter into one file, or inverts the features of a recording."""

import argparse
import logging
import sys
from pathlib import Path

from spectrodiff.audio import read_audio, write_audio
from spectrodiff.errors import OutputError, SpectrodiffError

# The rest is imported by what needs it, so that --help answers at once.


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("spectrodiff").setLevel(logging.INFO)
    try:
        print(options.run(options))
    except SpectrodiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return 0


def _export(options: argparse.Namespace) -> str:
    from spectrodiff.vocoder.files import SUFFIX, load_inverter, save_inverter
    from spectrodiff.vocoder.generators import count_parameters, display_name
    from spectrodiff.vocoder.onnx_export import export_onnx

    if options.out.suffix not in (".onnx", SUFFIX):
        raise OutputError(options.out, f"a name ending in .onnx or {SUFFIX}", options.out.name)
    inverter = load_inverter(options.inverter)
    if options.out.suffix == ".onnx":
        export_onnx(inverter, options.out)
    else:
        save_inverter(inverter, options.out, options.dtype)
    megabytes = options.out.stat().st_size / 1e6
    parameters = f"{count_parameters(inverter.config):,} parameters"
    return f"{options.out}  {display_name(inverter.config)}, {parameters}, {megabytes:.1f} MB"


def _invert(options: argparse.Namespace) -> str:
    import numpy as np

    from spectrodiff.features import SAMPLE_RATE, log_mel
    from spectrodiff.vocoder.loading import default_name, open_inverter
    from spectrodiff.vocoder.windows import invert

    inverter = open_inverter(options.inverter or default_name())
    features = np.asarray(log_mel(read_audio(options.recording, SAMPLE_RATE)))
    audio = invert(inverter, features)
    write_audio(options.out, audio, SAMPLE_RATE)
    return f"{options.out}  {len(audio) / SAMPLE_RATE:.1f} s, {inverter.name}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m spectrodiff.vocoder", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser(
        "export", help="an inverter as one .onnx or .safetensors file", description=_export.__doc__
    )
    command.set_defaults(run=_export)
    command.add_argument(
        "inverter", type=Path, metavar="IN", help="the folder of a run, or a .safetensors file"
    )
    command.add_argument("out", type=Path, metavar="OUT", help="a .onnx or .safetensors file")
    command.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="how a .safetensors file keeps the parameters (default: %(default)s)",
    )

    command = commands.add_parser(
        "invert", help="what is left of a recording when it went through an inverter"
    )
    command.set_defaults(run=_invert)
    command.add_argument("recording", type=Path, metavar="IN", help="an audio file")
    command.add_argument("out", type=Path, metavar="OUT", help="a .wav, .flac or .ogg file")
    command.add_argument(
        "--inverter",
        help="as sample.py takes it (default: the one that comes with the package, or griffin-lim)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
