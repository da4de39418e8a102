"""Suggestions for names that are misspelt."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

# A beginning of at least this number of letters stands for the name.
BEGINNING = 3


def did_you_mean(wrong: str, names: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Returns " (did you mean NAME?)" for the name that is nearest to a wrong one; "" if none is.

    Args:
        wrong: what was given.
        names: the names that are allowed.
        cutoff: least similarity, from 0 to 1.
    """
    near = nearest(wrong, names, cutoff=cutoff)
    return "" if near is None or near == wrong else f" (did you mean {near}?)"


def nearest(wrong: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Returns the name that is most similar to a wrong one, or None if none is similar.

    Letter case and the difference between dashes and underscores count nothing, and a name may be
    cut off.
    """
    names = list(names)
    if wrong in names:
        return wrong
    by_plain = {_plain(name): name for name in names}
    plain = _plain(wrong)
    found = difflib.get_close_matches(plain, by_plain, n=1, cutoff=cutoff)
    if not found and len(plain) >= BEGINNING:
        found = sorted((name for name in by_plain if name.startswith(plain)), key=len)
    return by_plain[found[0]] if found else None


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
