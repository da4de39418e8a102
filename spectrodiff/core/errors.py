"""Exceptions for errors that a user can cause: each states the subject, expected and got.

Commands print such an error as one line and exit with status 1. Any other exception is a bug and
keeps its traceback.
"""

import os
import re

# Surrogates stand for bytes of names of files that are not UTF-8; no file can be written with them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class SpectrodiffError(Exception):
    """Base class of all errors caused by input rather than by the program.

    Args:
        subject: file, setting or argument at fault.
        expected: phrase for the valid input.
        got: phrase for the actual input.
    """

    def __init__(self, subject: str | os.PathLike[str], expected: str, got: str) -> None:
        # Quoted messages of other libraries can have several lines.
        message = f"{os.fspath(subject)}: expected {expected}, got {got}"
        super().__init__(printable(message.replace("\n", " ")))
        self.subject = os.fspath(subject)
        self.expected = expected
        self.got = got

    def __reduce__(self) -> tuple[type["SpectrodiffError"], tuple[str, str, str]]:
        """Supports pickling, so that errors can be sent between processes."""
        return type(self), (self.subject, self.expected, self.got)


class MidiError(SpectrodiffError):
    """Invalid MIDI file or note table."""


class AudioError(SpectrodiffError):
    """Invalid audio or features."""


class CheckpointError(SpectrodiffError):
    """Checkpoint that is missing, damaged, of the wrong shape, or unsafe to load."""


class ConfigError(SpectrodiffError):
    """Setting with an unknown name, a wrong type or an invalid value."""


class CorpusError(SpectrodiffError):
    """Corpus folder that does not match the layout of its release, or an unusable corpus."""


class ReportError(SpectrodiffError):
    """Folder without valid evaluation results."""


class OutputError(SpectrodiffError):
    """Output file or folder that cannot be written."""


def printable(text: str) -> str:
    """Escapes control characters, with which the name of a file could command a terminal.

    So are bytes that are not UTF-8, which could not be written.
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its type if there is no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
