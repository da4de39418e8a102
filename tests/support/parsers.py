"""Parsers of all commands, as their `main` functions make them."""

import argparse
import importlib
from collections.abc import Iterator
from unittest import mock

from spectrodiff.commands import program


class _Made(BaseException):
    """Ends a command when it has its parser."""


def parser_of(command: str) -> argparse.ArgumentParser:
    """Returns the parser of a command."""

    def stop(parser, *arguments):
        raise _Made(parser)

    module = importlib.import_module(
        f"spectrodiff.commands.{program.MODULES.get(command, command)}"
    )
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        mock.patch.object(program.Parser, "parse_args", stop),
    ):
        try:
            module.main([])
        except _Made as made:
            return made.args[0]
    raise AssertionError(f"{command} makes no parser")


def all_parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yields each command, or subcommand as "prepare pairs", with its parser."""
    for command in program.COMMANDS:
        parser = parser_of(command)
        nested = getattr(parser, "commands", {})
        yield from ((f"{command} {name}", inner) for name, inner in nested.items())
        if not nested:
            yield command, parser
