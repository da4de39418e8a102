"""Files that weights are read from in ranges, each only when it is needed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.files import open_regular


class WeightsFile:
    """A regular file that must stay as it is while its parts are read.

    It is opened anew for every part and never mapped into memory: a mapped file that is cut off
    ends the process.

    Args:
        path: the file.

    Raises:
        CheckpointError: if it is no regular file that can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, int] | None = None
        with self.open():
            pass

    @property
    def size(self) -> int:
        """Size in bytes."""
        assert self._state is not None
        return self._state[0]

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the file at its beginning.

        Raises:
            CheckpointError: if it cannot be read, also within the block, or was changed.
        """
        try:
            with open_regular(self.path) as file:
                status = os.fstat(file.fileno())
                state = status.st_size, status.st_mtime_ns
                if state != (self._state or state):
                    raise CheckpointError(
                        self.path, "a file that nothing changes while it is read", "another one"
                    )
                self._state = state
                yield file
        except OSError as error:
            raise CheckpointError(self.path, "a readable file", first_line(error)) from None

    def read(self, start: int, size: int) -> bytes:
        """Reads `size` bytes from byte `start` on.

        Raises:
            CheckpointError: if the file is shorter, cannot be read, or was changed.
        """
        data = b""
        # Compared before, since reading takes the memory first.
        if start + size <= self.size:
            with self.open() as file:
                file.seek(start)
                data = file.read(size)
        if len(data) != size:
            raise CheckpointError(
                self.path, "a complete file", f"one without bytes {start:,} to {start + size:,}"
            )
        return data
