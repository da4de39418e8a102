"""Imports a model once and stores it in our own layout: faster to load, smaller if asked."""

import argparse
import logging
import sys
from pathlib import Path
from typing import get_args

from spectrodiff.checkpoints.checkpoint import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.store import StoredType, save_model
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.errors import SpectrodiffError


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m spectrodiff.checkpoints", description=__doc__)
    parser.add_argument(
        "model",
        metavar="IN",
        help="a folder with a model in any layout, the name of a released model, the URL of a zip "
        "archive, or a Hub repository (owner/name)",
    )
    parser.add_argument("folder", metavar="OUT", type=Path, help="a new folder")
    parser.add_argument(
        "--dtype",
        choices=get_args(StoredType),
        default="float32",
        help="how to keep the parameters; the 16-bit types take half the space (default: float32)",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("spectrodiff").setLevel(logging.INFO)
    try:
        checkpoint = open_checkpoint(options.model)
        save_model(checkpoint, options.folder, options.dtype)
    except SpectrodiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(_summary(checkpoint, options.folder, options.dtype))
    return 0


def _summary(checkpoint: Checkpoint, folder: Path, dtype: str) -> str:
    config = checkpoint.config
    parameters = sum(array.size for array in flatten(checkpoint.params).values())
    megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    return (
        f"{checkpoint.layout} layout: {parameters:,} parameters, "
        f"width {config.width}, {config.heads} heads, {config.encoder_layers} encoder and "
        f"{config.decoder_layers} decoder layers, "
        f"{'with' if config.has_context else 'without'} context, "
        f"{'with' if checkpoint.inverter else 'without'} inverter; "
        f"stored as {dtype} in {folder} ({megabytes:.1f} MB)"
    )


if __name__ == "__main__":
    sys.exit(main())
