"""Flags that several commands share, and parsers of their values."""

import argparse
import math
from pathlib import Path

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import local_path

# Folder of a checkout in which gin files are also looked for.
CONFIGS = Path(__file__).parents[3] / "configs"


def add_gin_flags(parser: argparse._ActionsContainer, file_help: str, binding_help: str) -> None:
    """Adds --gin_file and --gin_bindings."""
    parser.add_argument("--gin_file", action="append", default=[], metavar="FILE", help=file_help)
    parser.add_argument(
        "--gin_bindings", action="append", default=[], metavar="BINDING", help=binding_help
    )


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Adds --data_dir, the folder of prepared corpora."""
    parser.add_argument(
        "--data_dir",
        type=local_path,
        default=Path("data"),
        help="folder of the corpora that spectrodiff prepare has written (default: data)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds --device."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, gpu or tpu (default: auto, the fastest one available)",
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
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def share(text: str) -> float:
    """Parses a number from 0 up to, but not including, 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise ValueError(text)
    return number


def minutes(text: str) -> float:
    """Parses a finite number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number
