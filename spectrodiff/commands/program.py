"""Entry point of all commands: dispatch by name, logging, one-line errors, exit status."""

import argparse
import atexit
import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from spectrodiff.commands.shared.parser import Parser
from spectrodiff.core.errors import SpectrodiffError, printable, printable_text
from spectrodiff.core.extras import explain_missing
from spectrodiff.core.runtime import (
    STOPPED,
    callbacks_interruptible,
    end_at_once,
    skip_teardown,
)

# Modules of this package, each with a function `main`; imported when they are called.
COMMANDS = {
    "sample": "render MIDI files to audio",
    "play": "play songs in the browser while they are rendered",
    "transcribe": "turn audio into MIDI files",
    "inspect": "say what is in a MIDI file, without rendering it",
    "train": "train a model on prepared corpora",
    "evaluate": "render and score the songs of prepared corpora, and write a report",
    "prepare": "prepare a corpus for training and evaluation",
    "fetch": "download published models, or take those that were brought by hand",
    "convert": "store a model or an inverter in our own layout, or in that of other programs",
    "push": "upload a model with a model card to the Hugging Face Hub, or write it to a folder",
    "invert": "turn a recording into features and back into audio",
    "compare": "compare two evaluations, or two rows of one, song by song",
    "listen": "make a blind listening test of several evaluations",
    "tally": "count the answers of a listening test",
    "report": "write the pages of an evaluation again",
    "fad": "compute the Frechet audio distance of two folders of audio",
    "export-embedding": "write a published embedding of audio to an ONNX file",
    "recipe": "train a model and its inverter from a soundfont in a given time",
}
# Commands that are in other modules than those of their names.
MODULES = {
    "fad": "embeddings.fad",
    "export-embedding": "embeddings.export",
    "listen": "listening.listen",
    "push": "sharing.push",
    "tally": "listening.tally",
    "fetch": "sharing.fetch",
}
# Exit status of this process.
_status = 0


def spectrodiff() -> NoReturn:
    """Runs the command that the command line names, and ends the process."""
    finish(run(main))


def script(command: str) -> NoReturn:
    """Runs a command with the arguments of the command line, and ends the process.

    The command is imported only then, so that Ctrl-C during imports is reported like any other.
    """
    finish(run(main, [command, *sys.argv[1:]]))


def main(arguments: Sequence[str]) -> int | None:
    """Runs the command that the first argument names; returns its exit status."""
    # The flags after the name are the command's.
    flags = _parser().parse_args(arguments[:1])
    name = MODULES.get(flags.command, flags.command)
    module = importlib.import_module(f"spectrodiff.commands.{name}")
    status: int | None = module.main(arguments[1:])
    return status


def run(main: Callable[[Sequence[str]], int | None], arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit status of the program.

    Results go to standard output, everything else to standard error. Errors in the input are
    reported in one line, with status 2 if the command line cannot be parsed and 1 otherwise; a
    traceback means a bug. After Ctrl-C another one ends the process at once.

    Args:
        main: the command; its argument are the arguments.
        arguments: None for those of the command line.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("spectrodiff").setLevel(logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error does, so that no name of a file ends a command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with callbacks_interruptible():
            status = main(sys.argv[1:] if arguments is None else arguments)
    except SpectrodiffError as error:
        print(f"error: {error}", file=sys.stderr)
        _discard_unwritten()
        return 1
    except ModuleNotFoundError as error:
        explained = explain_missing(error.name)
        if explained is None:
            raise
        print(f"error: {explained}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        end_at_once()  # also while objects of the command are deleted
        print("stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # The reader of the output has closed it.
        _discard_unwritten()
        return 141
    return status or 0


def finish(status: int) -> NoReturn:
    """Ends the process with an exit status."""
    global _status
    _status = status
    # All is written; Python would print a traceback for each thing that it clears up.
    end_at_once()
    # Only this module starts threads that keep a process from ending.
    distributed = sys.modules.get("spectrodiff.core.distributed")
    if distributed is not None:
        distributed.leave(status)
    sys.exit(status)


# Called after the functions that end threads and processes of libraries: these are imported later,
# and what is registered first is called last.
@atexit.register
def _skip_teardown_unless_done() -> None:
    """Ends the process before Python clears up modules, if the command failed or was stopped.

    Modules that are half imported crash then, and those that still work print tracebacks.
    """
    if _status != 0:
        skip_teardown(_status)


class PrintableFormatter(logging.Formatter):
    """Formatter of messages alone, in which control characters are escaped.

    Messages of this package are of one line; those of other libraries keep their lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Returns the message; a traceback follows it unchanged."""
        ours = record.name.partition(".")[0] == "spectrodiff"
        return (printable if ours else printable_text)(super().formatMessage(record))


def _discard_unwritten() -> None:
    """Discards what standard output cannot write; otherwise Python prints an error at exit."""
    if sys.stdout is None:  # closed before the program began
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def usage_name(command: str) -> str:
    """Returns the name of a command in its usage: the called script, or spectrodiff COMMAND."""
    script = Path(sys.argv[0]).name
    scripts = {"sample.py": "sample", "train.py": "train", "eval.py": "evaluate"}
    return script if scripts.get(script) == command else f"spectrodiff {command}"


def _parser() -> Parser:
    import spectrodiff

    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {help}" for name, help in COMMANDS.items())
    parser = Parser(
        prog="spectrodiff",
        usage="spectrodiff COMMAND ...",
        description=f"Renders notes to audio by spectrogram diffusion.\n\ncommands:\n{listed}",
        epilog="spectrodiff COMMAND --help lists the flags of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=spectrodiff.__version__)
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    return parser
