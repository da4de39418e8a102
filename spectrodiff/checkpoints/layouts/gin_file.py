"""Reads the values in a gin file without executing it.

Gin's parser converts text to statements; modules are imported, files included and objects built
only when statements are applied, which is not done here.
"""

import dataclasses
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.json_files import read_text

MAX_MACRO_DEPTH = 16
# The files of T5X have some 10,000 characters, in lines of 80. Gin's parser takes time that grows
# with the square of the number of texts in a row, and Python's tokenizer with that of a line.
MAX_CHARACTERS, MAX_LINE, MAX_TEXTS = 1 << 17, 1 << 12, 1 << 8


@dataclasses.dataclass(frozen=True)
class Macro:
    """`%NAME`: the value bound to NAME elsewhere in the file."""

    name: str


@dataclasses.dataclass(frozen=True)
class Reference:
    """`@name` or `@name()`: a configurable, which has no value here."""

    name: str


class GinFile:
    """Bindings of a gin file; the last one of a name counts.

    A name is "MACRO", "Configurable.argument" or "scope/Configurable.argument", without the modules
    before the configurable.

    Args:
        path: the file.

    Raises:
        CheckpointError: if it cannot be read, or is far larger than the files of T5X.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._values = dict(_bindings(_checked(path, read_text(path))))
        except RecursionError:
            raise CheckpointError(path, "a gin file", "values nested too deeply") from None

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the value of a name, resolving macros, or the default if it has none."""
        value = self._values.get(name, default)
        for _ in range(MAX_MACRO_DEPTH):
            if not isinstance(value, Macro):
                break
            value = self._values.get(value.name, default)
        return default if isinstance(value, Macro | Reference) else value

    def require(self, name: str) -> Any:
        """Returns the value of a name; CheckpointError if it has none."""
        value = self.get(name)
        if value is None:
            raise CheckpointError(self.path, f"a value for {name}", "none")
        return value


def _checked(path: Path, text: str) -> str:
    """Returns a text that can be parsed in a moment; CheckpointError for others."""
    longest = max(map(len, text.split("\n")))
    if len(text) > MAX_CHARACTERS or longest > MAX_LINE:
        expected = f"at most {MAX_CHARACTERS} characters, in lines of at most {MAX_LINE}"
        raise CheckpointError(path, expected, f"{len(text)}, in lines of up to {longest}")
    if (texts := _texts_in_a_row(text)) > MAX_TEXTS:
        raise CheckpointError(path, f"at most {MAX_TEXTS} texts in a row", f"{texts}")
    return text


def _texts_in_a_row(text: str) -> int:
    longest = run = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING:
                run += 1
                longest = max(run, longest)
            elif token.type not in (tokenize.COMMENT, tokenize.NL):
                run = 0
    except (SyntaxError, tokenize.TokenError):
        pass  # the parser stops here, too
    return longest


class _Delegate:
    """Replaces gin's lookups during parsing."""

    def configurable_reference(self, name: str, _evaluate: bool) -> Reference:
        return Reference(name)

    def macro(self, name: str) -> Macro:
        return Macro(name)


def _bindings(text: str) -> Iterator[tuple[str, Any]]:
    from gin import config_parser

    for statement in _statements(text):
        if isinstance(statement, config_parser.BindingStatement):
            scope = f"{statement.scope}/" if statement.scope else ""
            name = statement.selector.rsplit(".", 1)[-1]
            argument = f".{statement.arg_name}" if statement.arg_name else ""
            yield f"{scope}{name}{argument}", statement.value


def _statements(text: str) -> Iterator[Any]:
    """Yields the statements that can be parsed: skips invalid lines, stops at invalid tokens."""
    from gin import config_parser

    try:
        parser = config_parser.ConfigParser(text, _Delegate())
        while True:
            try:
                statement = parser.parse_statement()
            except (SyntaxError, TypeError, ValueError):
                parser.advance_one_line()
                continue
            if statement is None:
                return
            yield statement
    except (SyntaxError, StopIteration, tokenize.TokenError):
        return
