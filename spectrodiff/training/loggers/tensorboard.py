"""Event files for TensorBoard."""

import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.training.journal import Journal
from spectrodiff.training.loggers.logger import LoggedRun

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

FOLDER = "tensorboard"


class TensorBoard:
    """TensorBoard event file in the folder of a run, without a thread.

    Args:
        run: values of later steps in its older files become invalid.
    """

    def __init__(self, run: LoggedRun) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # TensorBoard finds its files by the first part of their names and sorts them by the rest.
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._journal = Journal(run.folder / FOLDER / name)
        now, start = time.time(), SessionLog(status=SessionLog.START)
        self._add(
            Event(wall_time=now, file_version="brain.Event:2"),
            Event(wall_time=now, step=run.step + 1, session_log=start),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds points to curves, by their names."""
        from tensorboardX.summary import scalar

        self._show(step, *(scalar(name, value) for name, value in values.items()))

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, 3]."""
        from tensorboardX.summary import image

        self._show(step, image(name, pixels, dataformats="HWC"))

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Adds mono audio, float32 [samples]."""
        from tensorboardX import summary

        samples = np.clip(audio, -1, 1)[:, None]
        self._show(step, summary.audio(name, samples, sample_rate=SAMPLE_RATE))

    def close(self, *, failed: bool = False) -> None:
        """Tries to write a last time."""
        del failed  # event files do not say how a run ended
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
