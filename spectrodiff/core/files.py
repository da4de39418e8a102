"""Reading of regular files only, and atomic writes.

A name can stand for a pipe, which may never have contents, or for a device such as /dev/zero, which
never ends. A file or folder exists under its final name only when it is complete.
"""

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from spectrodiff.core.checksums import json_checksum
from spectrodiff.core.errors import ConfigError, OutputError, first_line

if TYPE_CHECKING:
    import numpy as np

# Name prefix of incomplete files and folders, including those left by a killed process.
PARTIAL = ".partial-"
# File systems allow 255 bytes; suffixes are appended, and a prefix while a file is written.
_NAME_BYTES = 200
# With one slash, too, as paths have it. A drive has only one letter.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_WEB = re.compile("https?:/", re.IGNORECASE)
# Object stores do not work throughout: array_record, for one, neither reads nor writes s3://.
_COPIES = {
    "gs": "copy with `gcloud storage rsync --recursive`, or mount the bucket with gcsfuse",
    "s3": "copy with `aws s3 sync`, or mount the bucket with mount-s3",
}
_CHECKSUM = re.compile("-[0-9a-f]{8}$")
# Kinds of what is no regular file.
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
# Opening a FIFO would otherwise wait for a program that writes to it. Windows has no such flag.
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)


def local_path(text: str) -> Path:
    """Returns the path of a file or folder on this machine.

    Raises:
        ConfigError: if it is a URL, which would otherwise make a folder such as `gs:`.
    """
    if _URL.match(text):
        raise ConfigError(text, _in_place_of(text), "a URL")
    return Path(text)


def local_name(text: str) -> str:
    """Returns a name as it is given, checked like that of a file by `local_path`."""
    local_path(text)
    return text


def refuse_remote(text: str, subject: str | None = None) -> None:
    """Checks that a value is no URL of an object store or of another remote file system.

    Addresses of the web (http, https) pass, since models are downloaded from them.

    Args:
        text: the value.
        subject: name of the value in the error; the value itself if None.

    Raises:
        ConfigError: if it is one.
    """
    if _URL.match(text) and not _WEB.match(text):
        raise ConfigError(subject or text, _in_place_of(text), "a URL" if subject is None else text)


def _in_place_of(url: str) -> str:
    """Returns a phrase for what to give instead of a URL."""
    scheme = url.partition(":")[0].lower()
    here = _COPIES.get(scheme, "copy the files here, or mount what holds them")
    return f"a path on this machine ({here})"


def open_regular(path: str | os.PathLike[str], *, pipes: bool = False) -> io.BufferedReader:
    """Opens a regular file, or a link to one, to read bytes.

    Args:
        path: the file.
        pipes: True to open pipes as well; one that nothing writes to is empty.

    Raises:
        OSError: if there is none; `strerror` is a phrase such as "a device, no file".
    """

    def opener(name: str, flags: int) -> int:
        file = os.open(name, flags | _WITHOUT_WAITING)
        try:
            kind = stat.S_IFMT(os.fstat(file).st_mode)
            if kind != stat.S_IFREG and not (pipes and kind == stat.S_IFIFO):
                raise OSError(errno.EINVAL, f"{_KINDS.get(kind, 'something else')}, no file", name)
            if _WITHOUT_WAITING:
                os.set_blocking(file, True)
        except BaseException:
            os.close(file)
            raise
        return file

    return open(path, "rb", opener=opener)


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """Reads a regular file of at most `most` bytes.

    Raises:
        OSError: if there is none, or it is larger; `strerror` says so.
    """
    with open_regular(path) as file:
        # The size is looked at first, since a file with a gap can be larger than the memory.
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1) if size <= most else b""
        if len(data) > size:  # it grows, or the system does not know its size
            data += file.read(most)
    if max(size, len(data)) > most:
        raise OSError(errno.EFBIG, f"one of more than {most:,} bytes", os.fspath(path))
    return data


def check_regular(path: str | os.PathLike[str]) -> None:
    """Checks that a regular file can be opened, for libraries that open it by its name.

    Raises:
        OSError: if not; see `open_regular`.
    """
    open_regular(path).close()


def check_tree(folder: str | os.PathLike[str]) -> None:
    """Checks that no pipe and no device is in a folder, for libraries that read what is in it.

    Links are followed.

    Raises:
        OSError: for the first one; see `open_regular`.
    """
    seen = set[tuple[int, int]]()
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        # Links can lead back, and several can lead to one folder.
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            path = os.path.join(place, name)
            with contextlib.suppress(FileNotFoundError):  # a link to nothing
                kind = stat.S_IFMT(os.stat(path).st_mode)
                if kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK):
                    raise OSError(errno.EINVAL, f"{_KINDS[kind]}, no file", path)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed to `path` if the block succeeds.

    The temporary name keeps the suffix of `path`, since some writers choose their format by it. A
    link is replaced, not the file that it leads to.

    Raises:
        OutputError: if `path` is no regular file, the folder is not writable, or the disk is full.
        ConfigError: if `path` is a URL.
    """
    final = local_path(os.fspath(path))
    check_replaceable(final)
    temporary = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=final.suffix, dir=final.parent)
        temporary = Path(name)
        os.close(handle)
        yield temporary
        # mkstemp creates private files; give the result the default permissions.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, final)
    except OSError as error:
        raise unwritable(final, error) from error
    finally:
        # A disk that has become read-only refuses this, too; the first error says why.
        with contextlib.suppress(OSError):
            if temporary is not None:
                temporary.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Checks that there is nothing at a path, or a regular file or a link to one.

    A file in place of a device such as /dev/null would harm other programs.

    Raises:
        OutputError: if there is something else.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError:  # nothing, or what the writer will report
        return
    if kind != stat.S_IFREG:
        raise OutputError(path, "a new file, or one to replace", _KINDS.get(kind, "something else"))


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, renamed to `path` if the block succeeds.

    Raises:
        OutputError: if `path` exists and is not an empty folder, or is not writable.
        ConfigError: if `path` is a URL.
    """
    final = local_path(os.fspath(path))
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        got = "an existing one with contents" if final.is_dir() else "an existing file"
        raise OutputError(final, "a new or empty folder", got)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=final.parent))
    except OSError as error:
        raise unwritable(final, error) from error
    try:
        yield temporary
        # mkdtemp creates private folders, and some writers create private files.
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


def write_array(path: str | os.PathLike[str], array: "np.ndarray") -> None:
    """Writes an .npy file, complete or not at all.

    Raises:
        OutputError: as `atomic_file`.
    """
    # Not for commands that only say what their flags are.
    import numpy as np

    encoded = io.BytesIO()
    np.save(encoded, array, allow_pickle=False)
    with atomic_file(path) as temporary:
        # By Python: NumPy reports no error that comes when its file is closed.
        temporary.write_bytes(encoded.getbuffer())


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields a new folder for temporary files, which is removed at the end.

    Raises:
        OutputError: if there is no place for one.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="spectrodiff-"))
    except OSError as error:
        where = Path(error.filename).parent if error.filename else Path("TMPDIR")
        raise unwritable(where, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Creates a folder and checks that it is writable, to fail before long work.

    Raises:
        OutputError: if the folder cannot be created or is not writable.
        ConfigError: if it is a URL.
    """
    local_path(os.fspath(folder))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(Path(folder), error) from error


def file_name(id: str) -> str:
    """Returns a name for the files of anything that has an id, at most 200 bytes long.

    It is the id itself, or a similar name with a checksum of the id. Different ids have different
    names (but for equal checksums of 32 bits, of ids that are alike).
    """
    name = re.sub(r"[^\w.-]+", "_", id).lstrip(".")
    if name and name == id and len(id.encode()) <= _NAME_BYTES and not _CHECKSUM.search(id):
        return id
    short = name.encode()[: _NAME_BYTES - 9].decode(errors="ignore")
    return f"{short}-{json_checksum(id)}"


def is_utf8(name: str) -> bool:
    """Returns True if the name of a file is UTF-8; names from old disks may be other bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def cache_folder() -> Path:
    """Returns the folder for downloads: $SPECTRODIFF_CACHE or ~/.cache/spectrodiff."""
    return Path(os.environ.get("SPECTRODIFF_CACHE") or "~/.cache/spectrodiff").expanduser()


def package_folder(name: str) -> Path:
    """Returns a folder that comes with the package: "configs" or "examples".

    A wheel holds it inside of the package; a checkout keeps it beside.
    """
    package = Path(__file__).parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def _umask() -> int:
    # The umask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def unwritable(path: Path, error: OSError) -> OutputError:
    """Returns an OutputError for an OSError raised while writing."""
    return OutputError(path, "a place that can be written to", first_line(error))
