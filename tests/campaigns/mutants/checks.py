"""Checks of all kinds of files, and attempts without the program's warnings."""

import contextlib
import logging
from collections.abc import Iterator

MAX_MESSAGE = 2000


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops all messages for a while."""
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def check_message(error: Exception, name: str = "") -> None:
    """Checks that an error is one printable line, which names something.

    Raises:
        AssertionError: if it does not.
    """
    text = str(error)
    assert text.isprintable(), f"not one printable line: {text!r}"
    assert len(text) < MAX_MESSAGE, f"{len(text)} characters: {text[:200]}..."
    assert name in text, f"does not name {name}: {text}"
