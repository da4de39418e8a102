"""Conversion of models and inverters to our own layout and to those of other programs."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_second_out, take_second_out
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.config import require
from spectrodiff.core.constants import StoredType
from spectrodiff.core.errors import ConfigError, OutputError
from spectrodiff.core.files import local_path, temporary_folder

if TYPE_CHECKING:
    from spectrodiff.checkpoints.model import Checkpoint

INVERTER_SUFFIXES = (".onnx", ".safetensors")
LAYOUTS = ("spectrodiff", "diffusers", "onnx")


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    flags = parse_flags(arguments)
    if flags.out.suffix.lower() in INVERTER_SUFFIXES:
        if flags.layout != LAYOUTS[0]:
            expected = f"a folder for a model in the layout {flags.layout}"
            raise ConfigError("--out", expected, str(flags.out))
        text, values = _convert_inverter(flags.source, flags.out, flags.dtype)
    else:
        text, values = _convert_model(flags)
    print_result(flags, text, values)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog=usage_name("convert"),
        description="Converts a model to our layout, which loads faster and can be stored in 16 "
        "bits, or to a layout for other programs (--layout). With a file as OUT, converts a "
        "trained inverter to that file.",
    )
    add = parser.add_argument
    add(
        "source",
        metavar="IN",
        help="model: a folder in any layout, the name of a released model, the URL of a zip "
        "archive, or a Hub repository (owner/name); inverter: a run folder or a .safetensors file",
    )
    add_second_out(parser, "new folder for a model; .safetensors or .onnx file for an inverter")
    add(
        "--dtype",
        choices=get_args(StoredType),
        default="float32",
        help="type of the stored parameters; 16-bit types halve the size; inverters are stored as "
        "float32 or float16, in ONNX files as float32 (default: %(default)s)",
    )
    add(
        "--layout",
        choices=LAYOUTS,
        default=LAYOUTS[0],
        help="layout of a model: our own; that of SpectrogramDiffusionPipeline in diffusers; or "
        "ONNX graphs with a script that renders them (default: %(default)s)",
    )
    add(
        "--inverter",
        type=local_path,
        help="inverter to store with a model: .onnx or .safetensors file, or run folder (default: "
        "the model's own; in the layouts diffusers and onnx, otherwise the bundled one)",
    )
    add_json(parser, "out, parameters (their number), dtype and megabytes")
    flags = parser.parse_args(arguments)
    take_second_out(parser, flags)
    return flags


def _convert_model(flags: argparse.Namespace) -> tuple[str, dict[str, object]]:
    # Imported here so that --help is fast.
    from spectrodiff.checkpoints.resolve import open_checkpoint

    checkpoint = open_checkpoint(flags.source)
    store = {"spectrodiff": _store_ours, "diffusers": _store_diffusers, "onnx": _store_onnx}
    checkpoint = store[flags.layout](checkpoint, flags)
    return _summary(checkpoint, flags.out, flags.dtype)


def _store_ours(checkpoint: "Checkpoint", flags: argparse.Namespace) -> "Checkpoint":
    from spectrodiff.checkpoints.layouts.store import save_model
    from spectrodiff.sharing.inverters import find_inverter, stored_inverter

    chosen = find_inverter(checkpoint, flags.inverter) if flags.inverter else None
    with stored_inverter(chosen) as inverter:
        checkpoint = dataclasses.replace(checkpoint, inverter=inverter or checkpoint.inverter)
        save_model(checkpoint, flags.out, flags.dtype)
    return checkpoint


def _store_diffusers(checkpoint: "Checkpoint", flags: argparse.Namespace) -> "Checkpoint":
    from spectrodiff.checkpoints.layouts.diffusers_folder import check_playable, save_diffusers
    from spectrodiff.sharing.inverters import find_inverter, store_as_onnx

    check_playable(checkpoint)  # before the inverter is converted
    with temporary_folder() as temporary:
        inverter = find_inverter(checkpoint, flags.inverter)
        stored = inverter and store_as_onnx(inverter, temporary)
        checkpoint = dataclasses.replace(checkpoint, inverter=stored)
        save_diffusers(checkpoint, flags.out, flags.dtype)
    return checkpoint


def _store_onnx(checkpoint: "Checkpoint", flags: argparse.Namespace) -> "Checkpoint":
    from spectrodiff.sharing.inverters import find_inverter
    from spectrodiff.sharing.onnx_folder import save_onnx

    require(flags.dtype == "float32", "--dtype", "float32 for the layout onnx", flags.dtype)
    inverter = find_inverter(checkpoint, flags.inverter)
    save_onnx(checkpoint, flags.out, inverter)
    stored = flags.out / "inverter.onnx"
    return dataclasses.replace(checkpoint, inverter=stored if stored.is_file() else None)


def _summary(checkpoint: "Checkpoint", folder: Path, dtype: str) -> tuple[str, dict[str, object]]:
    from spectrodiff.checkpoints.tree import flatten

    config = checkpoint.config
    parameters = sum(array.size for array in flatten(checkpoint.params).values())
    megabytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    text = (
        f"source: {checkpoint.layout}; {parameters:,} parameters, "
        f"width {config.width}, {config.heads} heads, {config.encoder_layers} encoder and "
        f"{config.decoder_layers} decoder layers, "
        f"{'with' if config.has_context else 'without'} context, "
        f"{'with' if checkpoint.inverter else 'without'} inverter; "
        f"stored as {dtype} in {written(folder)} ({megabytes:.1f} MB)"
    )
    return text, _values(folder, parameters, dtype, megabytes)


def _values(out: Path, parameters: int, dtype: str, megabytes: float) -> dict[str, object]:
    return {"out": out, "parameters": parameters, "dtype": dtype, "megabytes": megabytes}


def _convert_inverter(source: str, out: Path, dtype: StoredType) -> tuple[str, dict[str, object]]:
    from spectrodiff.inverter.files import load_inverter, save_inverter
    from spectrodiff.inverter.networks.generators import count_parameters, display_name
    from spectrodiff.inverter.onnx_export import export_onnx

    if out.exists() and Path(source).exists() and out.samefile(source):
        raise OutputError(out, "another file than the one to convert", "the same")
    inverter = load_inverter(Path(source))
    if out.suffix.lower() == ".onnx":
        if dtype != "float32":
            raise ConfigError("--dtype", "float32 for an .onnx file", dtype)
        export_onnx(inverter, out)
    elif dtype == "bfloat16":
        raise ConfigError("--dtype", "float32 or float16 for an inverter", dtype)
    else:
        save_inverter(inverter, out, dtype)
    megabytes = out.stat().st_size / 1e6
    parameters = count_parameters(inverter.config)
    name = display_name(inverter.config)
    text = f"{written(out)}  {name}, {parameters:,} parameters, {megabytes:.1f} MB"
    return text, _values(out, parameters, dtype, megabytes)
