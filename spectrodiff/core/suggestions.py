"""Suggestions for names that are misspelt."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

# Share of equal letters from which on a name is suggested.
SIMILARITY = 0.6
# A beginning of at least this number of letters stands for the name.
BEGINNING = 3


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Returns " (did you mean NAME?)" for the name most like a word; empty if none is.

    It is also empty if the word is one of the names. Letter case and the difference between dashes
    and underscores count nothing, and a name may be cut off.
    """
    by_plain = {_plain(name): name for name in names}
    if word in by_plain.values():
        return ""
    plain = _plain(word)
    near = difflib.get_close_matches(plain, by_plain, n=1, cutoff=SIMILARITY)
    if not near and len(plain) >= BEGINNING:
        near = [name for name in by_plain if name.startswith(plain)]
    return f" (did you mean {by_plain[near[0]]}?)" if near else ""


def beside(path: str | os.PathLike[str]) -> list[str]:
    """Returns the paths in the folder of a path that does not exist; none without that folder."""
    text = os.fspath(path)
    folder, name = os.path.split(text.rstrip("/"))
    if not name:
        return []
    try:
        found = sorted(child.name for child in Path(folder or ".").expanduser().iterdir())
    except (OSError, ValueError):  # ValueError: a zero byte
        return []
    return [os.path.join(folder, child) for child in found if not child.startswith(".")]


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
