"""Checks of all kinds of files, and attempts without the program's warnings."""

import contextlib
import logging
import os
from collections.abc import Iterator

MAX_MESSAGE = 2000


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops all messages for a while, those of libraries in C, too."""
    logging.disable()
    before, nothing = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        for number, kept in enumerate(before, start=1):
            os.dup2(kept, number)
            os.close(kept)
        os.close(nothing)
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
