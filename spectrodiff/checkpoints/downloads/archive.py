"""Downloads of weights that are released as zip archives."""

import errno
import zipfile
from pathlib import Path, PurePosixPath

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.cache import check_space, scratch_folder
from spectrodiff.checkpoints.downloads.received import Fetched
from spectrodiff.checkpoints.downloads.transfer import Meter, RemoteFile, download
from spectrodiff.checkpoints.formats.zip_files import DAMAGE, open_archive
from spectrodiff.core.errors import CheckpointError, OutputError, first_line
from spectrodiff.core.files import atomic_folder, open_regular

MAX_UNPACKED_BYTES = 16 << 30  # ten times the largest released model
# Weights hardly get smaller by compression; settings and names do.
MAX_RATIO, ALWAYS_BYTES = 20, 64 << 20
# Errors of the operating system that come from the names in an archive, not from the disk.
_NAMES = {errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR}


def fetch_zip(url: str, folder: Path, meter: Meter, known: RemoteFile | None = None) -> Fetched:
    """Downloads a zip archive and unpacks it to `folder`, continuing an interrupted download.

    Args:
        url: http or https.
        folder: new folder, in one that exists, whose lock is held; the archive is beside it until
            it is unpacked.
        meter: counts the bytes.
        known: result of `look_up` for the archive.

    Raises:
        CheckpointError: if the archive cannot be downloaded, or cannot be unpacked safely.
        OutputError: if the disk is full, or the folder cannot be written. The archive is kept.
        OSError: if the download cannot be written.
    """
    archive = folder.with_name(f"{folder.name}.zip")
    received = download(url, archive, meter, known)
    unpacked = scratch_folder(folder) / "model"
    try:
        unpack(archive, unpacked, url)
    except OutputError as error:
        got = f"{error.got}; the download is kept, try again to unpack it"
        raise OutputError(folder.parent, error.expected, got) from None
    except CheckpointError:
        _remove(archive)  # not unpacked again, since it is damaged
        raise
    unpacked.replace(folder)
    _remove(archive)
    return Fetched(folder, (received,))


def unpack(archive: Path, folder: Path, source: str) -> None:
    """Unpacks a zip archive to a new folder, which appears complete or not at all.

    Args:
        archive: zip archive.
        folder: new folder.
        source: name of the archive for errors.

    Raises:
        CheckpointError: if the archive is damaged, too large, or would write outside the folder.
        OutputError: if there is not enough space, or the folder cannot be written.
    """
    try:
        with (
            open_regular(archive) as file,
            open_archive(file) as members,
            atomic_folder(folder) as partial,
        ):
            size = _check_members(members.infolist(), archive.stat().st_size)
            check_space(folder.parent, size)
            _extract(members, partial)
    except DAMAGE as error:
        expected, got = "a zip archive that can be unpacked", str(error) or type(error).__name__
        raise CheckpointError(shown(source), expected, got) from None


def _extract(members: zipfile.ZipFile, folder: Path) -> None:
    try:
        members.extractall(folder)
    except OSError as error:
        if error.errno in _NAMES:
            raise zipfile.BadZipFile(first_line(error)) from None
        raise


def _remove(archive: Path) -> None:
    archive.unlink()
    archive.with_name(f"{archive.name}.version").unlink(missing_ok=True)


def _check_members(members: list[zipfile.ZipInfo], archive_bytes: int) -> int:
    """Checks what an archive says of its members, and returns their size together in bytes."""
    size = sum(member.file_size for member in members)
    most = min(MAX_UNPACKED_BYTES, max(ALWAYS_BYTES, MAX_RATIO * archive_bytes))
    if size > most:
        raise zipfile.BadZipFile(f"{size:,} bytes in {len(members):,} files")
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or set(member.filename) & set("\\:"):
            raise zipfile.BadZipFile(f"a member that would be written to {member.filename!r}")
    return size
