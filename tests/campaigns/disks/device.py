"""A disk that fails: a small one in memory, or calls of the C library that fail.

Processes that `environment_words` start have mounts of their own, if the system allows that, and
failing calls, if there is a C compiler. A limit on the size of files works everywhere.
"""

import contextlib
import ctypes
import dataclasses
import errno
import functools
import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.campaigns.shared_library import compiled

SOURCE = Path(__file__).with_name("failing.c")
MOUNT = Path("/mnt")
OWN_MOUNTS, LIBRARY = "CAMPAIGN_OWN_MOUNTS", "LD_PRELOAD"
ROOMY = "size=4g,nr_inodes=1000000"  # not without limits, which could not be set later
PAGE = 4096
# Kinds of failures: of the file system, of a limit on the size of files, of calls.
FULL, INODES, LIMIT = "full", "inodes", "limit"
QUOTA, CLOSE, SYNC, RENAME, READ_ONLY = "quota", "close", "sync", "rename", "read-only"
CALLS = {QUOTA: 1, CLOSE: 2, SYNC: 3, RENAME: 4, READ_ONLY: 5}  # numbers in failing.c
ERRORS = {
    FULL: errno.ENOSPC,
    INODES: errno.ENOSPC,
    LIMIT: errno.EFBIG,
    QUOTA: errno.EDQUOT,
    CLOSE: errno.EIO,
    SYNC: errno.EIO,
    RENAME: errno.EIO,
    READ_ONLY: errno.EROFS,
}


@functools.cache
def environment_words() -> Sequence[str]:
    """Returns the words before a command that give it mounts of its own, and calls that fail."""
    words: list[str] = []
    for options in ("-m", "-rm"):
        mount = f"mount -t tmpfs -o size=64k,nr_inodes=9 none {MOUNT}"
        tried = ["unshare", options, "sh", "-c", mount]
        if shutil.which("unshare") and not subprocess.run(tried, capture_output=True).returncode:
            words = ["unshare", options, "env", f"{OWN_MOUNTS}=1"]
            break
    if library := compiled(SOURCE):
        words = [*(words or ["env"]), f"{LIBRARY}={library}"]
    return words


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of what is on a disk, or what it took to write it.

    Attributes:
        pages: of the file system.
        inodes: files and folders.
        largest: bytes of the largest file.
        written: bytes of all files.
        calls: number of calls by kind; empty if calls do not fail here.
    """

    pages: int
    inodes: int
    largest: int
    written: int
    calls: dict[str, int]

    def of(self, kind: str) -> int:
        """Returns the size in the unit in which a kind of failure counts."""
        sizes = {FULL: self.pages, INODES: self.inodes, LIMIT: self.largest, QUOTA: self.written}
        return sizes[kind] if kind in sizes else self.calls.get(kind, 0)

    def without(self, before: "Size") -> "Size":
        """Returns the difference to what was there before."""
        return dataclasses.replace(
            self,
            pages=self.pages - before.pages,
            inodes=self.inodes - before.inodes,
            written=self.written - before.written,
        )


class Disk:
    """A folder that fails when it is asked to.

    Attributes:
        home: folder elsewhere, with room.
        folder: the disk.
        kinds: kinds of failures that are possible.
    """

    def __init__(self) -> None:
        self._mounted = OWN_MOUNTS in os.environ
        if self._mounted:
            _mount(MOUNT, ROOMY)
            base = MOUNT
        else:
            base = Path(tempfile.mkdtemp(prefix="campaign-"))
        self.home, self.folder = base / "home", base / "disk"
        self.home.mkdir()
        self.folder.mkdir()
        if self._mounted:
            _mount(self.folder, ROOMY)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self._calls = None
        with contextlib.suppress(AttributeError):
            library = ctypes.CDLL(None)
            self._calls = library.fail_in
            self._count, self._failures = library.calls_so_far, library.failures_so_far
        self.kinds = [LIMIT]
        self.kinds += [FULL, INODES] if self._mounted else []
        self.kinds += CALLS if self._calls else []

    def close(self) -> None:
        """Removes everything."""
        if not self._mounted:
            shutil.rmtree(self.home.parent, ignore_errors=True)

    def clear(self) -> None:
        """Empties the disk."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._set(0, 0, 0)

    def size(self) -> Size:
        """Measures what is on the disk; calls are those since the last failure ended."""
        files = [path.stat().st_size for path in self.folder.rglob("*") if path.is_file()]
        known = os.statvfs(self.folder)
        calls = {kind: int(self._count(number)) for kind, number in CALLS.items() if self._calls}
        return Size(
            pages=(known.f_blocks - known.f_bfree) * known.f_frsize // PAGE,
            inodes=known.f_files - known.f_ffree,
            largest=max(files, default=0),
            written=sum(files),
            calls=calls,
        )

    def count(self) -> None:
        """Counts calls from here on."""
        self._set(0, 0, 0)

    def failures(self) -> int:
        """Returns the number of calls that have failed."""
        return int(self._failures()) if self._calls else 0

    @contextlib.contextmanager
    def failing(self, kind: str, room: int) -> Iterator[None]:
        """Makes the disk fail within a block.

        Args:
            kind: of the failure.
            room: how much can still be written: pages, inodes, bytes of a file or of all, or calls.
        """
        if kind in (FULL, INODES):
            used = self.size()
            # Zero is no limit.
            option = (
                f"size={max(used.pages + room, 1) * PAGE}"
                if kind == FULL
                else f"nr_inodes={max(used.inodes + room, 1)}"
            )
            self._remount(option)
        elif kind == LIMIT:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        else:
            self._set(CALLS[kind], ERRORS[kind], room)
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            self._set(0, 0, 0)
            if kind in (FULL, INODES):
                self._remount(ROOMY)

    def _set(self, kind: int, error: int, room: int) -> None:
        if self._calls:
            self._calls(os.fsencode(self.folder), kind, error, ctypes.c_long(room))

    def _remount(self, options: str) -> None:
        _mount(self.folder, options, _REMOUNT)


_REMOUNT = 32  # MS_REMOUNT of sys/mount.h


def _mount(folder: Path, options: str, flags: int = 0) -> None:
    mount = ctypes.CDLL(None, use_errno=True).mount
    words = (b"none", os.fsencode(folder), b"tmpfs")
    if mount(*words, ctypes.c_ulong(flags), options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {folder} with {options}")
