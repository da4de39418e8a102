"""One process at a time trains the run in a folder."""

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
    """Holds the folder of a run; the system lets go of it when the process ends, however it ends.

    Where a file system knows no locks, it only warns.

    Args:
        folder: of the run; made if it does not exist.

    Raises:
        ConfigError: if another process holds it, naming that one.
        OutputError: if it cannot be written to.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not emptied: it may say who holds it.
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
        os.close(file)


def _take(file: int) -> bool:
    """True if the lock is ours, or there is no such thing."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        logger.warning("no file locks here: nothing keeps a second process from the same run")
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        logger.warning("no file locks on this disk: nothing keeps a second process from this run")
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
    except (ValueError, TypeError, KeyError):  # it has only just taken the lock
        return "one that has just begun"
