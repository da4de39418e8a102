"""Corrections of common mistakes in gin files and bindings, for error messages."""

import ast
import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

_NAME = r"[A-Za-z_][\w./]*"
_STATEMENT = re.compile(rf"\s*({_NAME})\s*(==|=|:|\s)?\s*(.*)", re.DOTALL)
_PARTS = re.compile(
    r"""'[^'\n]*'|"[^"\n]*"|[@%][\w./]+(?:\(\))?|[\[\](){},:]|\s+|[^\s'"\[\](){},:]+"""
)
_CONSTANTS = {"true": "True", "false": "False", "none": "None", "null": "None"}
_CURLY = str.maketrans("“”„‘’‚", "\"\"\"'''")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class Correction(NamedTuple):
    """Rule that a statement breaks, and the statement as it should be."""

    rule: str
    line: str


def correct(statement: str, macros: Collection[str] = ()) -> Correction | None:
    """Returns the correction of a statement such as "Training.task = denoise".

    Args:
        statement: a binding, or the lines of one.
        macros: names that may follow a %.

    Returns:
        None if nothing is wrong, or it is unclear what.
    """
    match = _STATEMENT.fullmatch(_without_comments(statement).strip())
    if match is None or not match[3]:
        return None
    name, sign, value = match[1], match[2], " ".join(match[3].split())
    if name == "include":
        return Correction("quotes", f"include {match[3]!r}") if _is_word(match[3]) else None
    if sign != "=" and "=" in value:
        return None
    rules = [] if sign == "=" else ["one = between name and value"]
    for rule, mend in _repairs(macros):
        if is_value(value):
            break
        mended = mend(value)
        if mended != value:
            rules, value = [*rules, rule], mended
    if not rules or not is_value(value):
        return None
    return Correction(" and ".join(rules), f"{name} = {value}")


def is_value(text: str) -> bool:
    """Returns True if gin can read a value, apart from whether its macros exist."""
    # Macros and references stand for values.
    inert = "".join("0" if part[0] in "%@" else part for part in _split(text))
    try:
        value = ast.literal_eval(inert.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    # Gin reads a tuple only in brackets.
    return not isinstance(value, tuple) or inert.lstrip().startswith("(")


def _repairs(macros: Collection[str]) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yields rules with the repairs of values that break them, the most certain ones first."""
    yield "straight quotes", lambda value: value.translate(_CURLY)
    yield "nothing behind the value", lambda value: value.rstrip("; ,")
    yield "a closing quote", _close_quote
    yield "True, False and None as Python writes them", _write_constants
    yield "a % before the name of a macro", lambda value: _write_macros(value, macros)
    yield "text in quotes", _quote
    yield "a closing bracket", _close_brackets
    yield "commas between values", _write_commas
    yield "brackets around several values", lambda value: _write_commas(f"({value})")


def _close_quote(value: str) -> str:
    quote = value[:1]
    open_quote = quote in ("'", '"') and value.count(quote) == 1
    return f"{value}{quote}" if open_quote else value


def _write_constants(value: str) -> str:
    return "".join(_CONSTANTS.get(part.lower(), part) for part in _split(value))


def _write_macros(value: str, macros: Collection[str]) -> str:
    return "".join(f"%{part}" if part in macros else part for part in _split(value))


def _quote(value: str) -> str:
    parts = _split(value)
    words = [part for part in parts if not part.isspace()]
    plain = not any(character in value for character in "[](){},'\"%@")
    if plain and any(map(_is_word, words)):
        return repr(value)
    quoted = "".join(repr(part) if _is_word(part) else part for part in parts)
    # Python would join two texts without a comma.
    return quoted if quoted == value else _write_commas(quoted)


def _is_word(part: str) -> bool:
    """Returns True for text without quotes that is no value by itself."""
    return not (
        part.isspace() or part[0] in "'\"%@[](){},:" or part in _CONSTANTS.values()
    ) and not _is_number(part)


def _is_number(part: str) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _close_brackets(value: str) -> str:
    closing: list[str] = []
    for part in _split(value):
        if part in _PAIRS:
            closing.append(_PAIRS[part])
        elif closing and part == closing[-1]:
            closing.pop()
    return value + "".join(reversed(closing))


def _write_commas(value: str) -> str:
    """Writes commas between values within brackets that only spaces separate."""
    written, before, depth = "", "", 0
    for part in _split(value):
        if part.isspace():
            continue
        depth += (part in _PAIRS) - (part in _PAIRS.values())
        begins = part not in "])},:"
        ended = bool(before) and before not in "[({,:"
        inside = depth - (part in _PAIRS) > 0
        spaced = (before in tuple(",:") and begins) or (begins and ended)
        written += (", " if begins and ended and inside else " " * spaced) + part
        before = part
    return written


def _split(value: str) -> list[str]:
    """Splits a value into quoted text, brackets, commas, colons, spaces, and everything else."""
    found = _PARTS.findall(value)
    # Quotes that are not closed are lost to the expression.
    return found if "".join(found) == value else [value]


def _without_comments(statement: str) -> str:
    lines = []
    for line in statement.splitlines():
        parts = re.findall(r"""'[^']*'|"[^"]*"|#.*|[^'"#]+|['"]""", line)
        lines.append("".join(part for part in parts if not part.startswith("#")))
    return "\n".join(lines)
