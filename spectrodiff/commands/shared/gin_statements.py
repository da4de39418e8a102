"""Statements of gin files and bindings: which ones gin reads, and which it refuses."""

import re
from typing import NamedTuple

_OPENING, _CLOSING = "([{", ")]}"
_TEXTS = re.compile(r"""'[^'\n]*'|"[^"\n]*"|#.*|[^'"#]+|['"]""")
# A line that cannot belong to a value.
_BEGINS = re.compile(r"[A-Za-z_][\w./]*\s*=|(?:include|import|from)\b")


class Refused(NamedTuple):
    """Statement that gin cannot read.

    Attributes:
        line: number of its first line.
        text: its lines.
    """

    line: int
    text: str


class Include(NamedTuple):
    """Statement that includes a file.

    Attributes:
        line: number of its first line.
        end: number of the line after it.
        file: the name of the file.
    """

    line: int
    end: int
    file: str


def read(text: str) -> tuple[list[Include], Refused | None]:
    """Reads gin statements without binding anything.

    Args:
        text: of a file, or bindings.

    Returns:
        The files that are included before the first statement that gin refuses, and that
        statement, None if there is none.
    """
    from gin import config_parser

    class Anything(config_parser.ParserDelegate):
        """Takes references and macros of any name."""

        def configurable_reference(self, scoped_name: str, evaluate: bool) -> str:
            del evaluate
            return f"@{scoped_name}"

        def macro(self, scoped_name: str) -> str:
            return f"%{scoped_name}"

    includes: list[Include] = []
    line = 1
    try:
        parser = config_parser.ConfigParser(text, Anything())
        while True:
            line = parser.current_token.start[0]
            statement = parser.parse_statement()
            if statement is None:
                return includes, None
            if isinstance(statement, config_parser.IncludeStatement):
                end = parser.current_token.start[0]
                includes.append(Include(statement.location.line_num, end, statement.filename))
    except Exception:  # its tokens raise many types, such as RecursionError for many brackets
        return includes, _statement(text, line)


def is_read(statement: str) -> bool:
    """Returns True if gin can read a statement, apart from whether its names exist."""
    return read(statement)[1] is None


def without_comments(statement: str) -> str:
    """Returns a statement without its comments."""
    return "\n".join(map(_without_comment, statement.splitlines()))


def _without_comment(line: str) -> str:
    return "".join(part for part in _TEXTS.findall(line) if not part.startswith("#"))


def _statement(text: str, first: int) -> Refused:
    """Returns the statement that begins in or after a line."""
    lines = text.split("\n")
    while first < len(lines) and not without_comments(lines[first - 1]).strip():
        first += 1
    found: list[str] = []
    depth = 0
    for line in lines[first - 1 :]:
        continued = depth > 0 and not _BEGINS.match(line)
        continued |= bool(found) and (found[-1].endswith("\\") or _is_in_block(found[0], line))
        if found and not continued:
            break
        found.append(line.rstrip())
        plain = "".join(part for part in _TEXTS.findall(line) if part[0] not in "'\"#")
        depth += sum(plain.count(one) for one in _OPENING)
        depth -= sum(plain.count(one) for one in _CLOSING)
    return Refused(first, "\n".join(found).strip())


def _is_in_block(head: str, line: str) -> bool:
    return head.endswith(":") and line[:1].isspace()
