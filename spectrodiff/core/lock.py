"""Lock on a run folder, so that only one process trains it at a time."""

import contextlib
import datetime
import errno
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import unwritable

logger = logging.getLogger(__name__)

LOCK = "run.lock"
_WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Holds an exclusive lock on a run folder; the system releases it when the process ends.

    On file systems without locks it only logs a warning.

    Args:
        folder: run folder; created if it does not exist.

    Raises:
        ConfigError: if another process holds the lock; the message names that process.
        OutputError: if the folder is not writable.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not truncated, since it may name the process that holds the lock.
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        if _take(file):
            _sign(path, file)
        else:
            raise ConfigError(
                str(folder), "a run that no other process is training", _holder(os.read(file, 4096))
            )
        yield
    finally:
        # What the file says is for people; a disk that fails now has failed elsewhere, too.
        with contextlib.suppress(OSError):
            os.close(file)


def _take(file: int) -> bool:
    """Returns True if the lock was acquired, or the system has no locks."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        logger.warning("no file locks on this system: a second process could train the same run")
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        logger.warning("no file locks on this disk: a second process could train the same run")
    return True


def _sign(path: Path, file: int) -> None:
    since = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)
    except OSError as error:
        raise unwritable(path, error) from error


def _holder(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return "process {pid} on {host}, which has done so since {since}".format(**holder)
    except (ValueError, TypeError, KeyError):  # the holder has not written the file yet
        return "another process that has just started"
