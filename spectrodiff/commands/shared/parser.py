"""The parser of all commands: one spelling of flags, suggestions, and errors in one line."""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from spectrodiff.core.errors import printable
from spectrodiff.core.files import refuse_remote
from spectrodiff.core.suggestions import did_you_mean, nearest

# Exit status of a command line that cannot be parsed; other errors of input have status 1.
USAGE_STATUS = 2

# Begins what follows "--"; no argument can hold this character. The flag stands for "--" and ends
# the values of the flag before it.
_NO_FLAG = "\0"
_END = f"--{_NO_FLAG}"
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number"}


class Parser(argparse.ArgumentParser):
    """Parser of a command line.

    Dashes and underscores in the names of flags are the same: `--run-dir` is `--run_dir`. Flags may
    stand before, between and behind other arguments. Abbreviations are not taken, since a new flag
    could change their meaning; they are answered with a suggestion, as all misspelt flags and
    choices are. Errors are one line, `error: SUBJECT: expected ..., got ...`, and end the process
    with status 2.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, allow_abbrev=False, exit_on_error=False)

    @property
    def commands(self) -> dict[str, "Parser"]:
        """Parsers of the subcommands, by name."""
        nested = (one for one in self._actions if isinstance(one, argparse._SubParsersAction))
        return {name: parser for one in nested for name, parser in one.choices.items()}

    @property
    def flags(self) -> dict[str, argparse.Action]:
        """Flags by their listed spellings, such as `--out` and `-o`."""
        return {text: action for action in self._actions for text in action.option_strings}

    @property
    def arguments(self) -> list[argparse.Action]:
        """Arguments that are not flags."""
        return [action for action in self._actions if not action.option_strings]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses a command line; ends the process if that is impossible."""
        given = list(self._spelled(args))
        # Intermixed parsing does not know subcommands.
        parse = self.parse_known_args if self.commands else self.parse_known_intermixed_args
        if not self.commands and "--" in given:
            given = self._marked(given)
        try:
            flags, rest = parse(given, namespace)
        except argparse.ArgumentError as error:
            subject = f"{_long_name(error.argument_name)}: " if error.argument_name else ""
            self.error(f"{subject}{_in_words(error.message)}")
        for text in rest:
            if text.startswith("-"):
                self._refuse_flag(text)
            more = text.removeprefix(_NO_FLAG)
            self.error(f"{self.prog}: expected no more arguments, got {more}")
        return flags

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses what is known after giving flags the spelling that the parser lists."""
        return super().parse_known_args(list(self._spelled(args)), namespace)

    def error(self, message: str) -> NoReturn:
        """Prints an error in one line and ends the process."""
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            message = f"{self.prog}: expected {missing}, got none"
        self.exit(USAGE_STATUS, f"error: {printable(message)}\n")

    def _spelled(self, args: Sequence[str] | None) -> Iterator[str]:
        """Yields arguments, with the names of flags as they are listed."""
        listed = {_plain(text): text for text in self.flags}
        texts = iter(sys.argv[1:] if args is None else args)
        for text in texts:
            name, equals, value = text.partition("=")
            if text == "--":
                yield text
                break
            if not text.startswith("--") or " " in name:
                yield text
            elif (known := listed.get(_plain(name))) is not None:
                yield f"{known}{equals}{value}"
            elif self.commands:  # it may be a flag of the subcommand
                yield text
            else:
                self._refuse_flag(name)
        yield from texts

    def _marked(self, given: Sequence[str]) -> list[str]:
        """Returns arguments with what follows "--" marked, as intermixed parsing forgets it."""
        if _END not in self.flags:
            self.add_argument(_END, action=_End)
        end = given.index("--")
        return [*given[:end], _END, *(f"{_NO_FLAG}{text}" for text in given[end + 1 :])]

    def _refuse_flag(self, name: str) -> NoReturn:
        near = _nearest_flag(name, self.flags)
        hint = f"did you mean {near}?" if near else f"{self.prog} --help lists them"
        self.error(f"{name}: expected a flag of {self.prog}, got an unknown one ({hint})")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Checks a value against the choices of a flag."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            hint = did_you_mean(str(value), names)
            message = f"expected one of {', '.join(names)}, got {value}{hint}"
            raise argparse.ArgumentError(action, message)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Converts the text of a value; argparse would name Python's types in its errors."""
        arg_string = arg_string.removeprefix(_NO_FLAG)
        # No command reads or writes object stores, whatever the type of its argument says.
        refuse_remote(arg_string)
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            if (words := _WORDS.get(action.type)) is None:
                raise
            raise argparse.ArgumentError(action, f"expected {words}, got {arg_string}") from error


class _End(argparse.Action):
    """Action of a flag without an effect."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        del dest
        hidden: Any = argparse.SUPPRESS
        super().__init__(option_strings, hidden, nargs=0, default=hidden, help=hidden)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""


class YesNo(argparse.BooleanOptionalAction):
    """Action of a flag --NAME and its opposite --no_NAME."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.option_strings = [text.replace("--no-", "--no_") for text in self.option_strings]

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Stores True, or False for the opposite."""
        setattr(namespace, self.dest, not (option_string or "").startswith("--no_"))


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _long_name(name: str) -> str:
    """Returns the first long spelling of a flag in argparse's name for it, `-o/--out`."""
    names = name.split("/")
    return next((one for one in names if one.startswith("--")), names[0])


def _in_words(message: str) -> str:
    """Returns argparse's message about the number of values in the form of all errors."""
    match = re.fullmatch(r"expected (?:one|at least one|(\d+)) arguments?", message)
    if match is None:
        return message
    return f"expected {match[1]} values, got fewer" if match[1] else "expected a value, got none"


def _nearest_flag(name: str, flags: Iterable[str]) -> str | None:
    by_word = {_plain(flag).lstrip("_"): flag for flag in flags if flag.startswith("--")}
    near = nearest(_plain(name).lstrip("_"), by_word)
    return None if near is None else by_word[near]
