"""Places of models in the cache: their locks, incomplete contents, and free space."""

import logging
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import PARTIAL

logger = logging.getLogger(__name__)

MEGABYTE = 1_000_000


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Holds the lock of a model in the cache, and removes the `scratch_folder` before and after.

    Raises:
        OutputError: if the cache is not writable, also for an OSError in the block.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(place.with_name(f"{place.name}.lock"))
    scratch = scratch_folder(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("waiting for another process, which is writing %s", place)
            lock.acquire()
        try:
            # A killed process may have left it.
            shutil.rmtree(scratch, ignore_errors=True)
            yield
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            lock.release()
    except OutputError as error:
        if not error.subject.startswith(str(scratch)):
            raise
        raise OutputError(place, error.expected, error.got) from None
    except OSError as error:
        raise OutputError(place.parent, "a writable folder", str(error)) from None


def scratch_folder(place: Path) -> Path:
    """Returns the folder, not yet there, for what a model is made of while its lock is held."""
    return place.with_name(f"{PARTIAL}{place.name}")


def check_space(folder: Path, needed: int) -> None:
    """Checks that `needed` bytes can be written below an existing folder.

    Raises:
        OutputError: if there is less space.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        # Rounded apart, so that they differ.
        expected = math.ceil(10 * needed / MEGABYTE) / 10
        got = math.floor(10 * free / MEGABYTE) / 10
        raise OutputError(folder, f"{expected:,.1f} MB of free space", f"{got:,.1f} MB")
