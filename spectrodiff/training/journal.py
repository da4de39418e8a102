"""Files that a run adds to while it runs, for people to look at; a full disk never stops it."""

import contextlib
import logging
import os
import socket
import struct
import time
from collections import deque
from pathlib import Path

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE

logger = logging.getLogger(__name__)

# What waits for room on the disk; beyond it the oldest records are dropped.
MAX_WAITING_BYTES = 16 << 20


class Trouble:
    """Says once that something does not work, and once that it works again.

    Args:
        what: the thing, to begin a line with.
        meanwhile: what happens as long as it does not work.
    """

    def __init__(self, what: object, meanwhile: str) -> None:
        self._what, self._meanwhile = what, meanwhile
        self._said = False

    def begins(self, error: BaseException) -> None:
        """Warns, unless that has been done."""
        if not self._said:
            system = isinstance(error, OSError) and error.strerror
            reason = system or str(error) or type(error).__name__
            logger.warning("%s: %s; %s", self._what, reason, self._meanwhile)
        self._said = True

    def ends(self) -> None:
        """Says that it is over, if it had begun."""
        if self._said:
            logger.info("%s: works again", self._what)
        self._said = False


class Journal:
    """A file of records, each added whole or, while there is no room, kept in memory for later.

    Nothing is buffered and no thread is involved: a record that was added is in the file.

    Args:
        path: the file; made with its folder when the first record comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._trouble = Trouble(path, "training goes on, and writing is tried again")

    def add(self, record: bytes) -> None:
        """Adds a record, after those that wait."""
        self._waiting.append(record)
        while len(self._waiting) > 1 and sum(map(len, self._waiting)) > MAX_WAITING_BYTES:
            self._waiting.popleft()
            self._dropped += 1
        self._write()

    def close(self) -> None:
        """Tries a last time; says what is lost."""
        self._write()
        if lost := self._dropped + len(self._waiting):
            logger.warning("%s: %d records are missing", self._path, lost)

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            _append(self._path, b"".join(self._waiting))
        except OSError as error:
            self._trouble.begins(error)
            return
        self._waiting.clear()
        self._trouble.ends()


class Board:
    """A TensorBoard file.

    Args:
        folder: where TensorBoard looks.
        step: the first that will be reported; what another file says of it and later ones is void.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # TensorBoard knows its files by the first part of their names and sorts them by the rest.
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._journal = Journal(folder / name)
        now, start = time.time(), SessionLog(status=SessionLog.START)
        self._add(
            Event(wall_time=now, file_version="brain.Event:2"),
            Event(wall_time=now, step=step, session_log=start),
        )

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Adds points to curves."""
        from tensorboardX.summary import scalar

        self._show(step, *(scalar(name, value) for name, value in values.items()))

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Shows a picture [H, W, 3]."""
        from tensorboardX.summary import image

        self._show(step, image(name, pixels, dataformats="HWC"))

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Plays mono audio, float32 [samples]."""
        from tensorboardX.summary import audio as sound

        self._show(step, sound(name, np.clip(audio, -1, 1)[:, None], sample_rate=SAMPLE_RATE))

    def close(self) -> None:
        """Tries a last time to write what could not be written."""
        self._journal.close()

    def _show(self, step: int, *summaries: object) -> None:
        from tensorboardX.proto.event_pb2 import Event

        now = time.time()
        self._add(*(Event(wall_time=now, step=step, summary=summary) for summary in summaries))

    def _add(self, *events: object) -> None:
        self._journal.add(b"".join(_record(event.SerializeToString()) for event in events))  # type: ignore[attr-defined]


def _record(data: bytes) -> bytes:
    """TensorBoard's framing: length, its checksum, data, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)


def _append(path: Path, data: bytes) -> None:
    """Adds to a file all of the data or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    size = os.fstat(file).st_size
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)  # where some file systems say that there was no room
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise
