"""Flags that several commands share, and checks of their values."""

import argparse
import math
from pathlib import Path

# Beside the package in a checkout, which is where they are looked for by name.
CONFIGS = Path(__file__).parents[2] / "configs"


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
        type=Path,
        default=Path("data"),
        help="folder that spectrodiff prepare wrote the corpora to (default: data)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds --device."""
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, gpu or tpu (default: auto, the fastest)"
    )


def add_process_flags(parser: argparse.ArgumentParser, title: str) -> None:
    """Adds the arguments of `spectrodiff.core.distributed.connect`, as a group of flags."""
    add = parser.add_argument_group(title).add_argument
    add(
        "--distributed",
        action="store_true",
        help="find the other processes by oneself: under Slurm, Open MPI, on Cloud TPUs",
    )
    add("--coordinator_address", metavar="HOST:PORT", help="of process 0, the same for all")
    add("--num_processes", type=int, help="how many there are")
    add("--process_id", type=int, help="the number of this one, from 0")


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
