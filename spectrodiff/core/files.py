"""Writing results so that a file or folder is either complete under its final name or not there."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spectrodiff.core.errors import OutputError

# Begins the names of what is not complete yet, and of what a killed process left so.
PARTIAL = ".partial-"


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it takes the final name only if the block succeeds.

    The temporary name keeps the suffix of `path`, since writers choose their format by it.

    Raises:
        OutputError: if the folder cannot be written to or the disk is full.
    """
    final = Path(path)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=final.suffix, dir=final.parent)
        os.close(handle)
    except OSError as error:
        raise unwritable(final, error) from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp files are private; a result gets the permissions any new file would get.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, final)
    except OSError as error:
        raise unwritable(final, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Like `atomic_file`, for a folder; an existing non-empty folder of that name is refused.

    Raises:
        OutputError: if `path` exists and is not an empty folder, or cannot be written.
    """
    final = Path(path)
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise OutputError(final, "a new or empty folder", "one that already holds something")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=final.parent))
    except OSError as error:
        raise unwritable(final, error) from error
    try:
        yield temporary
        # Temporary folders are private, and so are the files of some writers.
        mask = _umask()
        for path in (temporary, *temporary.rglob("*")):
            path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        if final.exists():
            final.rmdir()
        os.replace(temporary, final)
    except OSError as error:
        raise unwritable(final, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Makes a folder and makes sure that files can be made in it, before hours of work.

    Raises:
        OutputError: if not.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(Path(folder), error) from error


def cache_folder() -> Path:
    """For downloads and compiled programs: $SPECTRODIFF_CACHE or ~/.cache/spectrodiff."""
    return Path(os.environ.get("SPECTRODIFF_CACHE") or "~/.cache/spectrodiff").expanduser()


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error to raise for one of the system."""
    return OutputError(path, "a place that can be written to", error.strerror or str(error))
