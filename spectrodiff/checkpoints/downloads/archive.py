"""Downloads of weights that are released as zip archives."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from spectrodiff.checkpoints.downloads.received import Fetched
from spectrodiff.checkpoints.downloads.transfer import Meter, RemoteFile, download
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import atomic_folder

MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 16 << 30  # ten times the largest released model


def fetch_zip(url: str, folder: Path, meter: Meter, known: RemoteFile | None = None) -> Fetched:
    """Downloads a zip archive and unpacks it to `folder`, continuing an interrupted download.

    Args:
        url: http or https.
        folder: new folder, in one that exists; the archive is beside it until it is unpacked.
        meter: counts the bytes.
        known: result of `look_up` for the archive.

    Raises:
        CheckpointError: if the archive cannot be downloaded, or cannot be unpacked safely.
        OSError: if the folder cannot be written.
    """
    archive = folder.with_name(f"{folder.name}.zip")
    received = download(url, archive, meter, known)
    try:
        unpack(archive, folder, url)
    finally:
        # Even if it is damaged, so that it is not continued.
        archive.unlink()
        archive.with_name(f"{archive.name}.version").unlink(missing_ok=True)
    return Fetched(folder, (received,))


def unpack(archive: Path, folder: Path, source: str) -> None:
    """Unpacks a zip archive to a new folder, which appears complete or not at all.

    Args:
        archive: zip archive.
        folder: new folder.
        source: name of the archive for errors.

    Raises:
        CheckpointError: if the archive is damaged, too large, or would write outside the folder.
        OutputError: if the folder cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as members, atomic_folder(folder) as partial:
            _check_members(members.infolist())
            members.extractall(partial)
    except (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(source, "a zip archive that can be unpacked", str(error)) from None


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED_BYTES or len(members) > MAX_MEMBERS:
        raise zipfile.BadZipFile(f"{size:,} bytes in {len(members):,} files")
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or set(member.filename) & set("\\:"):
            raise zipfile.BadZipFile(f"a member that would be written to {member.filename!r}")
