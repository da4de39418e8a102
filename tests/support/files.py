"""Contents of folders, archives of them, and files that cannot grow."""

import contextlib
import io
import resource
import signal
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path


def files_below(folder: Path) -> dict[str, bytes]:
    """Contents by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def make_zip(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of files, by relative path."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@contextlib.contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Limits the size of files in bytes: writing fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
