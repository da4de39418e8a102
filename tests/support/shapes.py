"""Type checker for the signatures of the library, shapes of arrays included."""

from collections.abc import Callable
from typing import Any

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Applies beartype, except to constructors: settings raise errors of their own."""
    return function if function.__name__ == "__init__" else beartype(function)
