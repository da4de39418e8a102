"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable


def did_you_mean(wrong: str, names: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Returns " (did you mean NAME?)" for the name that is nearest to a wrong one, or "".

    Args:
        wrong: what was given.
        names: the names that are allowed.
        cutoff: least similarity, from 0 to 1.
    """
    near = nearest(wrong, names, cutoff=cutoff)
    return "" if near is None else f" (did you mean {near}?)"


def nearest(wrong: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Returns the name that is most similar to a wrong one, or None if none is similar.

    Case does not count. A name that begins with the wrong one is similar however long it is.
    """
    by_small = {name.lower(): name for name in names}
    small = wrong.lower()
    close = difflib.get_close_matches(small, by_small, n=1, cutoff=cutoff)
    begun = sorted((name for name in by_small if small and name.startswith(small)), key=len)
    found = [*close, *begun]
    return by_small[found[0]] if found else None
