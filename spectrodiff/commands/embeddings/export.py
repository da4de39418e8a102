"""Command `export-embedding`: published embeddings of audio as ONNX files."""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_out, minutes
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.errors import CheckpointError, ConfigError, first_line
from spectrodiff.core.files import check_regular, check_tree, local_name

if TYPE_CHECKING:
    from spectrodiff.evaluation.metrics.embeddings.export.exporting import Exportable

KINDS = {
    "clap": "LAION's CLAP for music: music_audioset_epoch_15_esc_90.14.pt",
    "clap-hub": "CLAP in transformers' layout: laion/larger_clap_music",
    "mert": "a layer of m-a-p/MERT-v1-95M",
    "encodec": "the encoder of EnCodec at 24 kHz: encodec_24khz-d7cc33bc.th",
    "encodec-48k": "the encoder of EnCodec at 48 kHz: encodec_48khz-7e698e3e.th",
    "dac": "the encoder of the Descript Audio Codec: weights_44khz_8kbps_0.0.1.pth",
}
# Lengths of the recordings for which the file is compared with the original, in seconds.
COMPARED_SECONDS = {"encodec": (1, 3.2), "encodec-48k": (1, 2.2), "mert": (1, 5.3), "dac": (2,)}


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    flags = parse_flags(arguments)
    if (flags.weights is None) != flags.random_weights:
        got = "neither" if flags.weights is None else "both"
        raise ConfigError("--weights", "either weights or --random_weights", got)
    if flags.weights is not None and os.path.exists(flags.weights):
        _check_weights(flags.weights)
    # Imported here so that --help is fast.
    from spectrodiff.evaluation.metrics.embeddings.export.exporting import export

    exportable = _openers(flags)[flags.kind]()
    error = export(exportable, flags.out, COMPARED_SECONDS.get(flags.kind, (2, 11)))
    recipe = exportable.recipe
    text = (
        f"{written(flags.out)}  {recipe.name} ({recipe.source}), {recipe.sample_rate} Hz\n"
        f"largest difference from the original: {error:.1e} of the standard deviation"
    )
    values = {"out": flags.out, "embedding": recipe.name, "source": recipe.source}
    print_result(flags, text, {**values, "sample_rate": recipe.sample_rate, "error": error})


def _check_weights(path: str) -> None:
    """Checks that weights are a file or a folder, since PyTorch would wait for a pipe."""
    try:
        check_tree(path) if os.path.isdir(path) else check_regular(path)
    except OSError as error:
        raise CheckpointError(error.filename, "a file of weights", first_line(error)) from None


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    listed = "\n".join(f"  {name:12} {help}" for name, help in KINDS.items())
    parser = Parser(
        prog=usage_name("export-embedding"),
        description="Writes a published embedding of audio to an ONNX file for fad --onnx and "
        "Evaluation.onnx, and compares it with the original package, which has to be installed "
        f"beside PyTorch and onnx.\n\nembeddings:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("kind", choices=KINDS, metavar="EMBEDDING", help="one of those above")
    weights = "file of weights; for clap-hub and mert a folder or a Hub repository"
    add("--weights", type=local_name, help=weights)
    add("--random_weights", action="store_true", help="try the export without weights")
    add_out(parser, "file to write", required=True, metavar="FILE.onnx")
    add("--layer", type=int, default=4, help="layer of MERT, 1 to 12 (default: %(default)s)")
    add(
        "--window_seconds",
        type=minutes,
        default=30.0,
        help="length of MERT's windows; memory grows with its square (default: %(default)s)",
    )
    add_json(parser, "out, embedding, source, sample_rate and error (largest difference)")
    return parser.parse_args(arguments)


def _openers(flags: argparse.Namespace) -> dict[str, Callable[[], "Exportable"]]:
    from spectrodiff.evaluation.metrics.embeddings.export import clap, codecs, mert

    return {
        "clap": lambda: clap.open_laion_clap(flags.weights),
        "clap-hub": lambda: clap.open_hub_clap(flags.weights),
        "mert": lambda: mert.open_mert(flags.weights, flags.layer, flags.window_seconds),
        "encodec": lambda: codecs.open_encodec(flags.weights, 24_000),
        "encodec-48k": lambda: codecs.open_encodec(flags.weights, 48_000),
        "dac": lambda: codecs.open_dac(flags.weights),
    }
