"""Type checks for settings, since gin has none."""

import types
import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import refuse_remote
from spectrodiff.core.suggestions import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_types(settings: "DataclassInstance") -> None:
    """Checks the fields of a frozen dataclass against their annotations.

    Converts NumPy numbers to Python numbers, int to float and list to tuple where the annotation
    requires it. Call it from `__post_init__`.

    Raises:
        ConfigError: names the first field with a wrong type, or with the URL of an object store.
    """
    for name, annotation in typing.get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        try:
            object.__setattr__(settings, name, _converted(value, annotation))
        except (TypeError, OverflowError):  # the latter for whole numbers that are no float
            hint = did_you_mean(value, _choices(annotation)) if isinstance(value, str) else ""
            subject = f"{type(settings).__name__}.{name}"
            raise ConfigError(subject, _in_words(annotation), f"{value!r}{hint}") from None
        for text in _texts(getattr(settings, name)):
            refuse_remote(text, f"{type(settings).__name__}.{name}")


def require(condition: bool, subject: str, expected: str, value: object) -> None:
    """Raises ConfigError for a setting unless the condition holds."""
    if not condition:
        raise ConfigError(subject, expected, repr(value))


def _texts(value: object) -> Iterator[str]:
    """Yields the strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)


def _converted(value: Any, annotation: Any) -> Any:
    """Converts a value to its annotated type; raises TypeError if that is impossible."""
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":  # not dates
        value = value.item()
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise TypeError
        return value
    if origin in (typing.Union, types.UnionType):
        for choice in arguments:
            try:
                return _converted(value, choice)
            except TypeError:
                continue
        raise TypeError
    if origin is tuple:
        if not isinstance(value, tuple | list):
            raise TypeError
        return tuple(_converted(item, arguments[0]) for item in value)
    if annotation is float and type(value) is int:
        return float(value)
    # Not isinstance, because True would pass as an int.
    if type(value) is not annotation:
        raise TypeError
    return value


def _choices(annotation: Any) -> list[str]:
    """Returns the texts that an annotation allows, if it lists them."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [choice for choice in arguments if isinstance(choice, str)]
    return [text for argument in arguments for text in _choices(argument)]


def _in_words(annotation: Any) -> str:
    """Describes an annotation for error messages."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_in_words, arguments))
    if origin is tuple:
        return f"a list, each {_in_words(arguments[0])}"
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "text in quotes"}
    words[type(None)] = "None"
    return words.get(annotation) or f"a {annotation.__name__}"
