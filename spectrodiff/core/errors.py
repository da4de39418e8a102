"""Errors a user can cause: each names the offending thing, what was expected and what was found.

The entry points print such an error as one line and exit with status 1; every other exception is a
bug and keeps its traceback.
"""

import os


class SpectrodiffError(Exception):
    """Base of all errors that are about the input rather than about the program.

    Args:
        subject: the file, setting or argument at fault.
        expected: what would have been right, as a phrase.
        got: what was found instead, as a phrase.
    """

    def __init__(self, subject: str | os.PathLike[str], expected: str, got: str) -> None:
        # Other libraries' messages, which may be quoted here, can have several lines.
        super().__init__(f"{os.fspath(subject)}: expected {expected}, got {got}".replace("\n", " "))
        self.subject = os.fspath(subject)
        self.expected = expected
        self.got = got

    def __reduce__(self) -> tuple[type["SpectrodiffError"], tuple[str, str, str]]:
        """Lets the error travel between processes."""
        return type(self), (self.subject, self.expected, self.got)


class MidiError(SpectrodiffError):
    """A MIDI file, or a note table, that cannot be turned into notes."""


class AudioError(SpectrodiffError):
    """Audio or features that cannot be read, converted or inverted."""


class CheckpointError(SpectrodiffError):
    """Weights that are missing, damaged, of another shape, or unsafe to read."""


class ConfigError(SpectrodiffError):
    """A setting with an unknown name, a wrong type or an impossible value."""


class CorpusError(SpectrodiffError):
    """A corpus folder that does not look like the release it should be."""


class ReportError(SpectrodiffError):
    """A folder that should hold what an evaluation found, and does not."""


class OutputError(SpectrodiffError):
    """A result that cannot be written where it was asked to go."""
