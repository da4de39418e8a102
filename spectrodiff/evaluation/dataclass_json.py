"""Conversion between frozen dataclasses and JSON, with errors that name the entry at fault."""

import contextlib
import dataclasses
import functools
import math
import os
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from spectrodiff.core.errors import ReportError, first_line
from spectrodiff.core.json_files import json_of, write_json

T = TypeVar("T")


def json_name(name: str) -> dict[str, str]:
    """Metadata of a dataclass field whose name in JSON differs from its name in Python."""
    return {"json": name}


def read_dataclass(kind: type[T], path: str | os.PathLike[str], format: int, description: str) -> T:
    """Reads a dataclass from a JSON file that `write_dataclass` wrote.

    Args:
        kind: the dataclass (see `from_json`).
        path: path of the file.
        format: number that the entry "format" must have.
        description: description of the file, for error messages.

    Raises:
        ReportError: if the file is missing, not JSON, of another format, or lacks an entry.
    """
    try:
        content = json_of(path)
    except FileNotFoundError:
        raise ReportError(path, description, "no such file") from None
    except (OSError, ValueError) as error:
        raise ReportError(path, description, first_line(error)) from None
    if isinstance(content, dict) and content.get("format") != format:
        raise ReportError(f"{path}: format", str(format), repr(content.get("format")))
    return from_json(kind, content, str(path))


def write_dataclass(path: Path, value: object, format: int) -> None:
    """Writes a dataclass and a format number to a JSON file, complete or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    write_json(path, {"format": format, **to_json(value)})


def to_json(value: object) -> Any:
    """Converts a dataclass, and what its fields hold, to what the module `json` can write."""
    if dataclasses.is_dataclass(value):
        return {
            _name(field): to_json(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], value: object, subject: str) -> T:
    """Builds a dataclass, or a dict of them, from parsed JSON and checks the types of all entries.

    Entries without a field are ignored. An entry that is missing, null or a number that is not
    finite takes the default of its field; an object or a list without a default is then empty.

    Args:
        kind: the dataclass, with fields of type str, int (>= 0), float, bool, Literal, object,
            dataclasses, and X | None, Sequence[X] and Mapping[str, X] of these.
        value: the parsed JSON.
        subject: name of the file, for error messages.

    Raises:
        ReportError: naming the first entry that is missing or of another type.
    """
    return cast(T, _read(kind, value, subject))


def _read(kind: Any, value: object, where: str) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (choice for choice in arguments if choice is not type(None))
        return None if _is_absent(value) else _read(inner, value, where)
    if dataclasses.is_dataclass(kind):
        return _read_fields(cast(type, kind), _entries(value, where), where)
    if origin in (dict, Mapping):
        entries = _entries(value, where).items()
        return {name: _read(arguments[1], item, f"{where}.{name}") for name, item in entries}
    if origin is Sequence:
        items = [] if value is None else value
        if not isinstance(items, list):
            raise ReportError(where, "a list", _in_words(value))
        return tuple(
            _read(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(items)
        )
    if origin is typing.Literal:
        if value not in arguments:
            raise ReportError(where, " or ".join(map(str, arguments)), repr(value))
        return value
    return value if kind is object else _read_scalar(kind, value, where)


def _read_fields(kind: type, entries: Mapping[str, object], where: str) -> object:
    found = {}
    for field in dataclasses.fields(kind):
        entry = entries.get(_name(field))
        if not _is_absent(entry) or not _has_default(field):
            annotation = _annotations(kind)[field.name]
            found[field.name] = _read(annotation, entry, f"{where}.{_name(field)}")
    return kind(**found)


def _read_scalar(kind: type, value: object, where: str) -> object:
    if kind is float and type(value) in (int, float):
        # A whole number can be too large for a float.
        with contextlib.suppress(OverflowError):
            if math.isfinite(number := float(cast(float, value))):
                return number
    elif type(value) is kind and (kind is not int or cast(int, value) >= 0):
        return value
    expected = {str: "a text", float: "a number", bool: "true or false"}
    got = repr(value) if kind is int else _in_words(value)
    raise ReportError(where, expected.get(kind, "a whole number >= 0"), got)


def _entries(value: object, where: str) -> Mapping[str, object]:
    """Returns the entries of an object; null has none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ReportError(where, "an object", _in_words(value))
    return value


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _has_default(field: "dataclasses.Field[object]") -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _name(field: "dataclasses.Field[object]") -> str:
    return str(field.metadata.get("json", field.name))


@functools.cache
def _annotations(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _in_words(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), repr(value))
