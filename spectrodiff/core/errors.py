"""Exceptions for errors that a user can cause: each states the subject, expected and got.

Commands print such an error as one line and exit with status 1. Any other exception is a bug and
keeps its traceback.
"""

import os
import re

# Surrogates stand for bytes of names of files that are not UTF-8; no file can be written with them.
# The others end lines, or turn the order of what follows around.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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

    So are line breaks, marks that change the direction of text, and bytes that are not UTF-8, which
    could not be written.
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def printable_text(text: str) -> str:
    """Escapes what `printable` does in each line of a text."""
    return "\n".join(map(printable, text.split("\n")))


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its type if there is no message.

    Errors of the system are without number and path.
    """
    text = getattr(error, "strerror", None) or str(error)
    return next(iter(text.strip().splitlines()), type(error).__name__)
