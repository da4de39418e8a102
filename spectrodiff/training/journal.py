"""Append-only files for people to read; a full disk does not stop the run that writes them."""

import contextlib
import logging
import os
from collections import deque
from pathlib import Path

from spectrodiff.core.errors import printable

logger = logging.getLogger(__name__)

# Limit of the records that wait for space on the disk; the oldest ones are dropped.
MAX_WAITING_BYTES = 16 << 20


class Outage:
    """Logs the first of several failures in a row, and the success after them.

    Args:
        subject: what fails, the start of the log line.
        consequence: what happens meanwhile, its end.
    """

    def __init__(self, subject: object, consequence: str) -> None:
        self._subject, self._consequence = subject, consequence
        self._failing = False

    def failed(self, error: BaseException) -> None:
        """Logs a failure, unless the last attempt failed, too."""
        if not self._failing:
            system = isinstance(error, OSError) and error.strerror
            words = str(error).split("\n")
            # Services write in colors, and in several lines.
            reason = printable(system or " ".join(filter(None, words)) or type(error).__name__)
            logger.warning("%s: %s; %s", self._subject, reason, self._consequence)
        self._failing = True

    def succeeded(self) -> None:
        """Logs a success, if the last attempt failed."""
        if self._failing:
            logger.info("%s: works again", self._subject)
        self._failing = False


class Journal:
    """File of records, which wait in memory while the disk is full.

    Records are written atomically and at once, without a buffer or a thread.

    Args:
        path: the file; made with its folder for the first record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._outage = Outage(path, "training continues, and writing will be tried again")

    def add(self, record: bytes) -> None:
        """Adds a record after those that wait."""
        self._waiting.append(record)
        while len(self._waiting) > 1 and sum(map(len, self._waiting)) > MAX_WAITING_BYTES:
            self._waiting.popleft()
            self._dropped += 1
        self._write()

    def close(self) -> None:
        """Tries to write a last time; logs the number of lost records."""
        self._write()
        if lost := self._dropped + len(self._waiting):
            logger.warning("%s: %d records are missing", self._path, lost)

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            _append(self._path, b"".join(self._waiting))
        except OSError as error:
            self._outage.failed(error)
            return
        self._waiting.clear()
        self._outage.succeeded()


def _append(path: Path, data: bytes) -> None:
    """Appends data to a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Opening a pipe would otherwise wait for a reader. Windows has no such flag.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
    file = os.open(path, flags, 0o666)
    size = os.fstat(file).st_size
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)  # some file systems report a full disk here
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise
