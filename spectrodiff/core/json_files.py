"""Small text and JSON files: reading with errors that name the file, atomic writing."""

import json
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import atomic_file

MAX_TEXT_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """Returns the contents of a UTF-8 text file of at most 1 MiB.

    Raises:
        CheckpointError: if the file cannot be read, is larger, or is not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise CheckpointError(path, "a configuration file", "one of more than a megabyte")
        return path.read_text("utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError as error:
        reason = str(error)
    raise CheckpointError(path, "a readable text file", reason)


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        CheckpointError: as `read_text`, and if the file does not contain a JSON object.
    """
    text = read_text(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, "a JSON file", f"invalid JSON ({error})") from None
    if not isinstance(value, dict):
        raise CheckpointError(path, "a JSON object", f"a {type(value).__name__}")
    return value


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file, complete or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
