"""Texts for others: without the folders of a machine, and without the secrets in addresses.

Rather too much is left out than too little.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any

# Beginnings of paths: of POSIX, Windows and its shares, of `file:`, and those relative to a home,
# to a variable or to the working folder.
_BEGINNING = r"(?:~[\w.-]*|\$\{?\w+\}?|%\w+%|\.\.?|[a-z]:|file:)?[/\\]+"
_PATH = re.compile(_BEGINNING, re.IGNORECASE)
# Paths may hold spaces: within a text, one ends at the last slash of its line, and at its name.
_PATH_IN_TEXT = re.compile(rf"(?<![\w/\\]){_BEGINNING}(?=\S)(?:.*[/\\])?", re.IGNORECASE)
_URL = re.compile(r"(?:https?:/|(?!file:)[a-z][a-z0-9+.-]{1,30}://)", re.IGNORECASE)
_URL_IN_TEXT = re.compile(rf"({_URL.pattern}\S*)", re.IGNORECASE)
_HOST = re.compile(r"([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?", re.IGNORECASE)
_BETWEEN = (tokenize.NL, tokenize.COMMENT)


def without_folders(name: str) -> str:
    """Returns a name with the last part of a path alone, and of a URL what is no secret.

    Of URLs, scheme, host and path remain, without user, password and query. Other names are
    returned unchanged, but for the paths and URLs in them.
    """
    if _URL.match(name):
        return _public(name)
    if _PATH.match(name):
        return re.split(r"[/\\]+", name.rstrip("/\\"))[-1]
    return hide_folders(name)


def hide_folders(text: str) -> str:
    """Returns a text with the last part of each path in it alone, and URLs without secrets.

    A line with several paths keeps the last part of the last one.
    """
    parts = _URL_IN_TEXT.split(text)
    return "".join(
        _public(part) if number % 2 else _PATH_IN_TEXT.sub("", part)
        for number, part in enumerate(parts)
    )


def hide_in_values(value: Any) -> Any:
    """Returns values of JSON in which all texts are without folders and secrets."""
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, Mapping):
        return {name: hide_in_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide_in_values(item) for item in value]
    return value


def without_paths(text: str) -> str:
    """Returns the text of a gin file in which strings and comments are without folders and secrets.

    Texts that gin has broken into several strings are joined where they change. Of a text that
    cannot be read, nothing is returned but a comment that says so.
    """
    lines = list(io.StringIO(text))
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    parts, end = [], 0
    try:
        for first, last, new in sorted(_replacements(text)):
            begin = starts[first[0] - 1] + first[1]
            if begin >= end:  # not a comment between strings that were joined
                parts += [text[end:begin], new]
                end = starts[last[0] - 1] + last[1]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return "# Left out, since it cannot be read.\n"
    return "".join([*parts, text[end:]])


def _public(url: str) -> str:
    """Returns scheme, host and path of a URL."""
    scheme, _, rest = url.partition(":")
    address = re.split(r"[?#]", rest.lstrip("/\\"))[0]
    authority, slash, path = address.partition("/")
    host = authority.rpartition("@")[2]
    if not _HOST.fullmatch(host):
        return f"{scheme}://..."
    return f"{scheme}://{_PATH_IN_TEXT.sub('', f'{host}{slash}{path}')}"


_Place = tuple[int, int]


def _replacements(text: str) -> Iterator[tuple[_Place, _Place, str]]:
    """Yields starts and ends of strings and comments that change, and what they become."""
    strings: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.ERRORTOKEN:  # such as a quote without another
            raise ValueError
        if token.type == tokenize.STRING:
            strings.append(token)
            continue
        if strings and token.type not in _BETWEEN:
            value = ast.literal_eval(f"({' '.join(each.string for each in strings)})")
            hidden = _hidden_literal(value)
            if hidden != value:
                yield strings[0].start, strings[-1].end, repr(hidden)
            strings = []
        if token.type == tokenize.COMMENT:
            hidden = hide_folders(token.string)
            if hidden != token.string:
                yield token.start, token.end, hidden


def _hidden_literal(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return without_folders(value.decode("latin-1")).encode("latin-1")
    return without_folders(value)
