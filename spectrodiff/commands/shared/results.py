"""Results of commands on standard output: lines of text, or with --json lines of JSON."""

import argparse
import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.errors import printable, printable_text
from spectrodiff.core.files import unwritable

JSON_HELP = "print JSON instead of text, and nothing else on standard output"


def add_json(parser: argparse.ArgumentParser, keys: str, *, each: str | None = None) -> None:
    """Adds --json.

    Args:
        parser: of the command.
        keys: names of the entries, for the help.
        each: what has a line of its own, such as "song"; None if there is one object in all.
    """
    shape = "an object" if each is None else f"a line for each {each}"
    add = parser.add_argument
    add("--json", action="store_true", help=f"{JSON_HELP}: {shape} with {keys}")


def print_result(flags: argparse.Namespace, text: str, values: object) -> None:
    """Prints one result.

    Args:
        flags: flags of the command, among them `json`.
        text: what is printed without --json, control characters escaped; nothing if empty.
        values: a mapping or a dataclass, printed in a line with --json.

    Raises:
        OutputError: if standard output is a file on a full disk.
    """
    line = json.dumps(plain(values), allow_nan=False) if flags.json else printable_text(text)
    if not line:
        return
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(Path("standard output"), error) from error


def plain(value: Any) -> Any:
    """Converts what commands report to what JSON has; numbers that are not finite become null."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def written(out: os.PathLike[str]) -> str:
    """Returns the name of a file or folder as it is printed."""
    return printable(os.fspath(out))
