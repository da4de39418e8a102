"""Flags that several commands share, and parsers of their values."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spectrodiff.commands.shared.parser import YesNo
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import local_name, local_path

DEVICES = ("auto", "cpu", "gpu", "cuda", "tpu")


def add_out(
    parser: argparse._ActionsContainer,
    help: str,
    *,
    type: Callable[[str], Any] = local_path,
    **options: Any,
) -> None:
    """Adds --out and -o, what is written; `options` are those of `add_argument`."""
    parser.add_argument("--out", "-o", type=type, help=help, **options)


def add_second_out(parser: argparse._ActionsContainer, help: str) -> None:
    """Adds --out, which may also be written as the second argument without a flag."""
    parser.add_argument("second", metavar="OUT", type=local_path, nargs="?", help="as --out")
    add_out(parser, help)


def take_second_out(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> None:
    """Sets `flags.out` where `add_second_out` is used; ends the process if it has none or two."""
    if (flags.out is None) == (flags.second is None):
        got = "none" if flags.out is None else f"{flags.second} and {flags.out}"
        parser.error(f"--out: expected one file or folder to write, got {got}")
    flags.out = flags.second if flags.out is None else flags.out


def add_model(parser: argparse._ActionsContainer, note: str, **options: Any) -> None:
    """Adds --model; `note` ends its help, `options` are those of `add_argument`."""
    names = "(mini, small_with_context, base_with_context)"
    help = f"model: a name {names}, a folder, the URL of a zip or folder, or a Hub id; {note}"
    parser.add_argument("--model", help=help, **options)


def add_inverter(parser: argparse._ActionsContainer) -> None:
    """Adds --inverter."""
    parser.add_argument(
        "--inverter",
        type=local_name,
        help="inverter from spectrograms to audio: an .onnx or .safetensors file, the folder of a "
        "run that trained one, or griffin-lim (default: the model's, or else the bundled one)",
    )


def add_score_phases(parser: argparse._ActionsContainer) -> None:
    """Adds --score_phases, None if it is not given."""
    parser.add_argument(
        "--score_phases",
        action=YesNo,
        default=None,
        help="give tones the phases of the written notes, which puts them in tune (default: with "
        "the bundled inverter and others of its kind, but not with ONNX files)",
    )


def add_seed(parser: argparse._ActionsContainer, of: str, *, default: int | None = 0) -> None:
    """Adds --seed; `of` says what is drawn from it."""
    help = f"seed of {of} (default: 0)"
    parser.add_argument("--seed", type=natural, default=default, help=help)


def add_precision(parser: argparse._ActionsContainer, *, default: str | None = "float32") -> None:
    """Adds --precision."""
    help = "precision of matrix products: float32 or bfloat16 (default: float32)"
    choices = ("float32", "bfloat16")
    parser.add_argument("--precision", choices=choices, default=default, help=help)


def add_batch_size(parser: argparse._ActionsContainer, default: int) -> None:
    """Adds --batch_size, None if it is not given."""
    help = f"number of songs rendered side by side (default: {default})"
    parser.add_argument("--batch_size", type=int, help=help)


def add_max_minutes(parser: argparse._ActionsContainer) -> None:
    """Adds --max_minutes."""
    parser.add_argument(
        "--max_minutes",
        type=float,
        default=60.0,
        metavar="MINUTES",
        help="leave out longer songs, such as those with an end that was misplaced by hours "
        "(default: 60)",
    )


def add_soundfont(parser: argparse._ActionsContainer) -> None:
    """Adds --soundfont."""
    parser.add_argument(
        "--soundfont",
        type=local_path,
        metavar="FILE",
        help="an .sf2 or .sf3 file (default: FluidR3 GM)",
    )


def add_workers(parser: argparse._ActionsContainer, default: int, note: str) -> None:
    """Adds --workers; `note` says what the default is."""
    help = f"number of processes that read and render (default: {note})"
    parser.add_argument("--workers", type=natural, default=default, metavar="N", help=help)


def add_init_from(parser: argparse._ActionsContainer, note: str = "") -> None:
    """Adds --init_from; `note` ends its help."""
    parser.add_argument(
        "--init_from",
        metavar="MODEL",
        help="model whose weights to start from, as sample.py takes it with --model (default: "
        f"random weights){note}",
    )


def add_gin_flags(parser: argparse._ActionsContainer, examples: str) -> None:
    """Adds --gin_file and --gin_bindings; `examples` are settings."""
    add = parser.add_argument
    add(
        "--gin_file",
        type=local_name,
        action="append",
        default=[],
        metavar="FILE",
        help="file of settings, or the name of a config that comes with the package; can be "
        "repeated: later files win",
    )
    add(
        "--gin_bindings",
        action="append",
        default=[],
        metavar="BINDING",
        help=f"one setting; can be repeated; wins over files: {examples}",
    )


def add_data_dir(parser: argparse._ActionsContainer) -> None:
    """Adds --data_dir, the folder of prepared corpora."""
    parser.add_argument(
        "--data_dir",
        type=local_path,
        default=Path("data"),
        metavar="DIR",
        help="folder of prepared corpora (default: data)",
    )


def add_device(parser: argparse._ActionsContainer, *, default: str | None = "auto") -> None:
    """Adds --device."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default=default,
        metavar="DEVICE",
        help="auto, cpu, gpu (or cuda), or tpu (default: auto, the fastest one available)",
    )


def check_max_minutes(flags: argparse.Namespace) -> None:
    """Checks --max_minutes.

    Raises:
        ConfigError: if it is not above 0.
    """
    if not flags.max_minutes > 0:
        raise ConfigError("--max_minutes", "a number above 0", f"{flags.max_minutes:g}")


def add_process_flags(parser: argparse.ArgumentParser, title: str) -> None:
    """Adds a group of flags: the arguments of `spectrodiff.core.distributed.connect`."""
    add = parser.add_argument_group(title).add_argument
    add(
        "--distributed",
        action="store_true",
        help="find the other processes automatically: under Slurm, Open MPI, on Cloud TPUs",
    )
    add("--coordinator_address", metavar="HOST:PORT", help="address of process 0")
    add("--num_processes", type=int, help="number of processes")
    add("--process_id", type=int, help="number of this process, from 0")


def natural(text: str) -> int:
    """Parses a whole number of 0 or more."""
    return int(_number(text, int, lambda number: number >= 0, "a whole number of 0 or more"))


def share(text: str) -> float:
    """Parses a number from 0 up to, but not including, 1."""
    return _number(text, float, lambda number: 0 <= number < 1, "a number from 0 to below 1")


def minutes(text: str) -> float:
    """Parses a finite number above 0."""
    return _number(text, float, lambda number: 0 < number < math.inf, "a number above 0")


def _number(text: str, kind: type[float], fits: Callable[[float], bool], expected: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not fits(number):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text}")
    return number
