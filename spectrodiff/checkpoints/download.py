"""Downloads of weights that are released as zip archives."""

import contextlib
import hashlib
import re
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.core.files import atomic_folder, cache_folder
from spectrodiff.core.progress import Progress

TIMEOUT_SECONDS = 30
MEGABYTE = 1_000_000
CHUNK_BYTES = 1 << 20
MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 16 << 30  # ten times the largest released model


def fetch_zip(url: str, cache: Path | None = None) -> Path:
    """Returns a folder with the contents of the zip archive at `url`, downloaded if necessary.

    An interrupted download is resumed. Of several processes that need the same archive, one
    downloads it and the others wait.

    Args:
        url: http or https.
        cache: folder for downloads; `cache_folder()` if None.

    Raises:
        CheckpointError: if the archive cannot be downloaded, or cannot be unpacked safely.
        OutputError: if the cache is not writable.
    """
    from filelock import FileLock

    cache = cache or cache_folder()
    stem = re.sub(r"\W+", "-", url.rsplit("/", 1)[-1].removesuffix(".zip"))[:40]
    name = f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    folder, archive = cache / name, cache / f"{name}.zip.part"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{name}.lock"):
            if not folder.is_dir():
                _download(url, archive)
                _unpack(url, archive, folder)
    except OSError as error:
        raise OutputError(cache, "a writable folder", str(error)) from None
    return folder


def _download(url: str, target: Path) -> None:
    """Downloads `url` to `target`, continuing a partial file."""
    # The server's ETag identifies the version of the file: only the same version is continued.
    version_file = target.with_suffix(".version")
    version = version_file.read_text() if version_file.exists() else ""
    done = target.stat().st_size if version and target.exists() else 0
    headers = {"Range": f"bytes={done}-", "If-Range": version} if done else {}
    with _open(url, headers) as response:
        continued = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        done = done if response.status == 206 and continued else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        with target.open("ab" if done else "wb") as file:
            version_file.write_text(response.headers.get("ETag", ""))
            for chunk in _chunks(url, response, done, total):
                file.write(chunk)
    size = target.stat().st_size
    if total is not None and size != total:
        raise CheckpointError(url, f"{total:,} bytes", f"{size:,}; try again to continue")


def _open(url: str, headers: dict[str, str]) -> HTTPResponse:
    try:
        with _connection(url):
            request = urllib.request.Request(url, headers=headers)
            return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except CheckpointError:
        if headers:  # a range may be refused, for example if the file is already complete
            return _open(url, {})
        raise


def _chunks(url: str, response: HTTPResponse, done: int, total: int | None) -> Iterator[bytes]:
    megabytes = None if total is None else total // MEGABYTE
    with _connection(url), Progress(f"downloading {url}", megabytes, "MB") as progress:
        progress.advance(done // MEGABYTE)
        while chunk := response.read(CHUNK_BYTES):
            yield chunk
            progress.advance((done + len(chunk)) // MEGABYTE - done // MEGABYTE)
            done += len(chunk)


@contextlib.contextmanager
def _connection(url: str) -> Iterator[None]:
    """Converts connection errors to one with advice for use without a connection."""
    try:
        yield
    except (HTTPException, OSError, ValueError) as error:
        got = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else str(error)
        raise CheckpointError(
            url,
            "an archive to download",
            f"{got} (without a connection: download and unpack it elsewhere, then give the folder)",
        ) from None


def _unpack(url: str, archive: Path, folder: Path) -> None:
    """Unpacks the archive and removes it, even if it is damaged, so that it is not resumed."""
    try:
        with zipfile.ZipFile(archive) as source, atomic_folder(folder) as partial:
            _check_members(source.infolist())
            source.extractall(partial)
    except (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        archive.unlink()
        raise CheckpointError(url, "a zip archive that can be unpacked", str(error)) from None
    archive.unlink()


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED_BYTES or len(members) > MAX_MEMBERS:
        raise zipfile.BadZipFile(f"{size:,} bytes in {len(members):,} files")
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or set(member.filename) & set("\\:"):
            raise zipfile.BadZipFile(f"a member that would be written to {member.filename!r}")
