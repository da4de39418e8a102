"""Small text and JSON files: reading with errors that name the file, atomic writing."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.files import atomic_file, read_regular

MAX_TEXT_BYTES = 1 << 20
# Tables and annotations of corpora, answers, results; real ones have a few megabytes. Parsed JSON
# can take twenty times as much.
MAX_TABLE_BYTES = 1 << 26


def text_of(path: str | os.PathLike[str], most: int = MAX_TABLE_BYTES) -> str:
    """Returns the contents of a text file in UTF-8 of at most `most` bytes.

    Raises:
        OSError: if it cannot be read, or is larger.
        UnicodeDecodeError: if it is not UTF-8.
    """
    # As Python reads text: every kind of line break becomes a newline.
    return io.StringIO(read_regular(path, most).decode("utf-8"), newline=None).read()


def csv_rows(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Returns the rows of a CSV table in UTF-8, of at most `MAX_TABLE_BYTES`, by column.

    Raises:
        OSError: if it cannot be read, or is larger.
        ValueError: if it is not UTF-8, or not CSV.
    """
    # Excel puts a mark in front.
    text = read_regular(path, MAX_TABLE_BYTES).decode("utf-8-sig")
    try:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from None


def read_text(path: Path) -> str:
    """Returns the contents of a UTF-8 text file of at most 1 MiB.

    Raises:
        CheckpointError: if the file cannot be read, is larger, or is not UTF-8.
    """
    try:
        return text_of(path, MAX_TEXT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(path, "a readable text file", first_line(error)) from None


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        CheckpointError: as `read_text`, and if the file does not contain a JSON object.
    """
    text = read_text(path)
    try:
        value = _parsed(text)
    except ValueError as error:
        raise CheckpointError(path, "a JSON file", f"invalid JSON ({error})") from None
    if not isinstance(value, dict):
        raise CheckpointError(path, "a JSON object", f"a {type(value).__name__}")
    return value


def json_of(path: str | os.PathLike[str], most: int = MAX_TABLE_BYTES) -> Any:
    """Returns the value in a JSON file in UTF-8 of at most `most` bytes.

    Raises:
        OSError: if it cannot be read, or is larger.
        ValueError: if it is not JSON, or nested too deeply.
    """
    return _parsed(text_of(path, most))


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file, complete or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None
