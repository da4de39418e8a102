"""Corrections of common mistakes in gin files and bindings, for error messages."""

import itertools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from spectrodiff.commands.shared.gin_statements import is_read, without_comments

_NAME = r"[A-Za-z_][\w./]*"
_STATEMENT = re.compile(rf"\s*({_NAME})\s*(==|=|:|\s)?\s*(.*)", re.DOTALL)
_PARTS = re.compile(
    r"""'[^'\n]*'|"[^"\n]*"|[@%][\w./]+(?:\(\))?|[\[\](){},:]|\s+|[^\s'"\[\](){},:]+"""
)
_CONSTANTS = {"true": "True", "false": "False", "none": "None", "null": "None"}
_CURLY = str.maketrans("“”„‘’‚", "\"\"\"'''")
# Begins like a word or a path, and holds nothing that could be meant as arithmetic.
_WORD = re.compile(r"[~./]*[^\W\d_][\w./:@-]*\+*")
# Whether they mean text or a truth value is unclear; the last two are numbers elsewhere.
_UNCLEAR_WORDS = frozenset({"yes", "no", "on", "off", "nan", "inf"})
_NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
# Mistakes that are certain, unlike what was meant.
_MISTAKES = (
    (re.compile(r".*[^,][;,]"), "nothing behind the value"),
    (
        re.compile(rf"{_NUMBER}(?:[\s,]+{_NUMBER})+"),
        "a number without spaces and commas, or several in brackets",
    ),
    (
        re.compile(r".*[\s\w)'\"](?:\*\*|[*+])[\s\w('\"].*|[\d.]+\s*[-/]\s*[\d.]+"),
        "a result, since gin does not calculate",
    ),
    (re.compile(r"[^\[({].*,.*"), "several values in brackets"),
)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class Correction(NamedTuple):
    """Rule that a statement breaks, and the statement as it should be, None if that is unclear."""

    rule: str
    line: str | None


def correct(statement: str, macros: Collection[str] = ()) -> Correction | None:
    """Returns the correction of a statement such as "Training.task = denoise".

    A statement is only written anew if its value remains as it is, but for quotes, the spelling of
    True, False and None, and the % of macros.

    Args:
        statement: a binding, or the lines of one.
        macros: names that may follow a %.

    Returns:
        None if nothing is wrong, or it is unclear what.
    """
    statement = without_comments(statement).strip()
    match = _STATEMENT.fullmatch(statement)
    if is_read(statement) or match is None or not match[3]:
        return None
    name, sign, value = match[1], match[2], re.sub(r"\s*\n\s*", " ", match[3])
    if not sign and match.end(1) == match.start(3):
        return None
    if name == "include":
        return Correction("quotes", f"include {value!r}") if _is_text(value) else None
    if (sign != "=" and "=" in value) or "\\" in value:
        return None
    rules = [] if sign == "=" else ["one = between name and value"]
    for rule, mended in _repairs(value, macros):
        if is_value(mended):
            rules += [] if mended == value else [rule]
            line = f"{name} = {mended}"
            return Correction(" and ".join(rules), line) if rules and is_read(line) else None
    mistake = _mistake(value)
    return None if mistake is None else Correction(" and ".join([*rules, mistake]), None)


def is_value(text: str) -> bool:
    """Returns True if gin can read a value, apart from whether its macros exist."""
    return bool(text) and "\n" not in text and is_read(f"NAME = {text}")


def _repairs(value: str, macros: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yields a value as it is and repaired, and the rules that say what was repaired."""
    yield "", value
    yield "straight quotes", value.translate(_CURLY)
    yield "a closing quote", _close_quote(value)
    words = value.split()
    if all(_is_text(word) and word not in macros for word in words):
        yield "text in quotes", repr(value)
    rules, parts = [], _split(value)
    for rule, write in (
        ("True, False and None as Python writes them", _write_constant),
        ("a % before the name of a macro", lambda part: f"%{part}" if part in macros else part),
        ("text in quotes", lambda part: repr(part) if _is_text(part) else part),
    ):
        written = [write(part) for part in parts]
        rules += [rule] if written != parts else []
        parts = written
        if not _has_joined_texts(parts):
            yield " and ".join(rules), "".join(parts)


def _write_constant(part: str) -> str:
    return _CONSTANTS.get(part.lower(), part)


def _close_quote(value: str) -> str:
    quote = value[:1]
    open_quote = quote in ("'", '"') and _is_text(value[1:])
    return f"{value}{quote}" if open_quote else value


def _is_text(part: str) -> bool:
    """Returns True for a word or path without quotes."""
    known = {*_CONSTANTS, *_UNCLEAR_WORDS}
    return bool(_WORD.fullmatch(part)) and part[-1] != ":" and part.lower() not in known


def _has_joined_texts(parts: list[str]) -> bool:
    """Returns True if a text follows another one, which Python would join."""
    words = [part for part in parts if not part.isspace()]
    return any(
        first[0] in "'\"" and second[0] in "'\"" for first, second in itertools.pairwise(words)
    )


def _mistake(value: str) -> str | None:
    """Returns the rule that a value breaks which cannot be written anew; None if it is unclear."""
    parts = _split(value)
    if len(parts) > 1:
        closing: list[str] = []
        for part in parts:
            if part in _PAIRS:
                closing.append(_PAIRS[part])
            elif closing and part == closing[-1]:
                closing.pop()
        if closing:
            return "a closing bracket"
    for pattern, rule in _MISTAKES:
        if pattern.fullmatch(value):
            return rule
    words = [part for part in parts if not part.isspace()]
    if value[0] in _PAIRS and any(itertools.starmap(_lacks_comma, itertools.pairwise(words))):
        return "commas between values"
    return None


def _lacks_comma(before: str, after: str) -> bool:
    return before not in "[({,:" and after not in "])},:"


def _split(value: str) -> list[str]:
    """Splits a value into quoted text, brackets, commas, colons, spaces, and everything else."""
    found = _PARTS.findall(value)
    # Quotes that are not closed are lost to the expression.
    return found if "".join(found) == value else [value]
