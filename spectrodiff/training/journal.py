"""Append-only files for people to read; a full disk does not stop the run that writes them."""

import contextlib
import logging
import os
import socket
import struct
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

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
            reason = system or str(error) or type(error).__name__
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


class TensorBoard:
    """TensorBoard event file.

    Args:
        folder: of the event files.
        step: the first step; values of it and of later steps in older files become invalid.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # TensorBoard finds its files by the first part of their names and sorts them by the rest.
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
        """Adds a picture [H, W, 3]."""
        from tensorboardX.summary import image

        self._show(step, image(name, pixels, dataformats="HWC"))

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Adds mono audio, float32 [samples]."""
        from tensorboardX import summary

        samples = np.clip(audio, -1, 1)[:, None]
        self._show(step, summary.audio(name, samples, sample_rate=SAMPLE_RATE))

    def close(self) -> None:
        """Tries to write a last time."""
        self._journal.close()

    def _show(self, step: int, *summaries: "Summary") -> None:
        from tensorboardX.proto.event_pb2 import Event

        now = time.time()
        self._add(*(Event(wall_time=now, step=step, summary=summary) for summary in summaries))

    def _add(self, *events: "Event") -> None:
        self._journal.add(b"".join(_record(event.SerializeToString()) for event in events))


def _record(data: bytes) -> bytes:
    """Returns data in TensorBoard's framing: length, its checksum, data, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)


def _append(path: Path, data: bytes) -> None:
    """Appends data to a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
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
