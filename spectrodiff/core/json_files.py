"""Small text and JSON files, read with errors that name the file."""

import json
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import CheckpointError

MAX_TEXT_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """Returns the contents of a small text file; CheckpointError if it is none."""
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise CheckpointError(path, "a configuration file", "one of more than a megabyte")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(path, "a readable text file", _reason(error)) from None


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; CheckpointError if there is none."""
    text = read_text(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, "a JSON file", str(error)) from None
    if not isinstance(value, dict):
        raise CheckpointError(path, "a JSON object", f"a {type(value).__name__}")
    return value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
