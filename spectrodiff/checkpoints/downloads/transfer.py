"""Transfer of single files by HTTP: sizes and checksums before, resumption, checks after."""

import base64
import contextlib
import logging
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.cache import MEGABYTE
from spectrodiff.checkpoints.downloads.checksums import (
    check_download,
    check_file,
    published_checksums,
)
from spectrodiff.checkpoints.downloads.received import Received
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import read_regular
from spectrodiff.core.progress import Progress

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20
MAX_BYTES = 16 << 30  # ten times the largest released model
# Answers to requests for files that do not exist; stores that hide their lists answer 403.
_MISSING = (403, 404, 410)
# Answers of servers that do not know the method HEAD.
_NO_HEAD = (400, 405, 501)
# Longer numbers are no lengths of files.
_LENGTH = re.compile("[0-9]{1,18}")
_START_BYTES = 64
# Servers keep to this encoding in headers, so that any file can be read with it.
_HEADERS = "latin-1"
_MAX_HEADER_BYTES = 1 << 16


class ServerError(CheckpointError):
    """File that a server does not send; `status` is that of HTTP, None if it was not reached."""

    status: int | None = None


@dataclass(frozen=True)
class RemoteFile:
    """File on a server.

    Attributes:
        url: its address.
        size: length in bytes; None if the server does not say.
        version: its ETag; empty if the server has none.
        checksums: published ones, in hexadecimal by kind.
    """

    url: str
    size: int | None = None
    version: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)


class Meter(Progress):
    """Progress of one or several files together, in megabytes.

    Args:
        description: for example "downloading base_with_context".
        total: bytes of all files; None if unknown.
    """

    def __init__(self, description: str, total: int | None) -> None:
        super().__init__(description, None if total is None else total // MEGABYTE, "MB")
        self._bytes = 0

    def add(self, size: int) -> None:
        """Counts bytes that have arrived or were there already."""
        before, self._bytes = self._bytes, self._bytes + size
        self.advance(self._bytes // MEGABYTE - before // MEGABYTE)


def total_size(sizes: Sequence[int | None]) -> int | None:
    """Returns the sum of sizes in bytes; None if one of them is unknown."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def announce(name: str, size: int | None, address: str, license: str) -> None:
    """Logs what is about to be downloaded; `size` is in bytes, None if unknown."""
    length = "size unknown" if size is None else f"{size / MEGABYTE:,.1f} MB"
    logger.info("downloading %s: %s from %s, license: %s", name, length, address, license)


def look_up(url: str, method: str = "HEAD") -> RemoteFile | None:
    """Asks a server for the size and the checksums of a file; None if it has no such file.

    Args:
        url: http or https.
        method: of the request; "GET" follows by itself if the server does not know "HEAD".

    Raises:
        ServerError: if the server cannot be reached, or refuses.
    """
    try:
        with _open(url, method=method) as response:
            return _remote(url, response)
    except ServerError as error:
        if error.status in _MISSING:
            return None
        if method == "GET" or error.status not in _NO_HEAD:
            raise
    return look_up(url, "GET")


def start_of(url: str) -> bytes:
    """Returns the first bytes of a file on a server.

    Raises:
        ServerError: if the server does not send it.
    """
    with _open(url, {"Range": f"bytes=0-{_START_BYTES - 1}"}) as response, _connection(url):
        return response.read(_START_BYTES)


def download(url: str, target: Path, meter: Meter, known: RemoteFile | None = None) -> Received:
    """Downloads a file to `target`, continuing what an interrupted call has left.

    What has arrived is in `target` with ".part" added until it is complete and checked. The
    server's ETag, which identifies the version of the file, is in one with ".version" added: only
    the same version is continued.

    Args:
        url: http or https.
        target: file to write, in a folder that exists; kept if it is complete.
        meter: counts the bytes.
        known: result of `look_up`, which must be what arrives.

    Raises:
        CheckpointError: if the file is missing, incomplete, too large, or another than `known` or
            its published checksum says.
    """
    part, version_file = (target.with_name(target.name + end) for end in (".part", ".version"))
    for path in (part, version_file, target):
        # Whoever wrote it, it was not this function; writing to a pipe would wait for a reader.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.unlink()
    version = ""
    if version_file.exists():
        version = read_regular(version_file, _MAX_HEADER_BYTES).decode(_HEADERS)
    expected = dict(known.checksums) if known else {}
    if target.exists():
        if version and known and known.version == version:
            size = target.stat().st_size
            meter.add(size)
            kind = check_file(target, shown(url), expected)
            return Received(target.name, size, kind or (None if known.size is None else "size"))
        target.unlink()
    done = part.stat().st_size if version and part.exists() else 0
    response, done = _open_rest(url, done, version)
    with response:
        length = _length(response)
        total = None if length is None else done + length
        _check_size(url, total, known)
        expected |= published_checksums(response.headers, whole=response.status == 200)
        with part.open("ab" if done else "wb") as file:
            version_file.write_text(response.headers.get("ETag", ""), _HEADERS)
            meter.add(done)
            for chunk in _chunks(url, response):
                file.write(chunk)
                done += len(chunk)
                meter.add(len(chunk))
                _check_size(url, done)
    if total is not None and done != total:
        raise CheckpointError(shown(url), f"{total:,} bytes", f"{done:,}; try again to continue")
    kind = check_download(part, shown(url), expected)
    part.replace(target)
    return Received(target.name, done, kind or (None if total is None else "size"))


def _check_size(url: str, size: int | None, known: RemoteFile | None = None) -> None:
    if size is not None and size > MAX_BYTES:
        raise CheckpointError(shown(url), f"at most {MAX_BYTES:,} bytes", f"{size:,}")
    if known and known.size is not None and size is not None and size != known.size:
        got = f"{size:,}; the file has changed on the server meanwhile, try again"
        expected = f"{known.size:,} bytes, as the server said before"
        raise CheckpointError(shown(url), expected, got)


def _remote(url: str, response: HTTPResponse) -> RemoteFile:
    version = response.headers.get("ETag", "")
    return RemoteFile(url, _length(response), version, published_checksums(response.headers))


def _length(response: HTTPResponse) -> int | None:
    """Returns the number of bytes that a response announces; None if it does not."""
    length = response.headers.get("Content-Length", "")
    return int(length) if _LENGTH.fullmatch(length) else None


def _open_rest(url: str, done: int, version: str) -> tuple[HTTPResponse, int]:
    """Opens a file from byte `done` on, if the server can, and returns the byte it starts at.

    What is sent must be of the same version as before, which not all servers see to that know
    ranges.
    """
    if done == 0:
        return _open(url), 0
    try:
        response = _open(url, {"Range": f"bytes={done}-", "If-Range": version})
    except ServerError:  # a range may be refused, for example if the file is already complete
        return _open(url), 0
    if response.status != 206:
        return response, 0
    continued = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
    if continued and response.headers.get("ETag", "") == version:
        return response, done
    response.close()
    return _open(url), 0


def _open(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> HTTPResponse:
    with _connection(url):
        parts = urllib.parse.urlsplit(url)
        user, at, host = parts.netloc.rpartition("@")
        address = parts._replace(netloc=host).geturl() if at else url
        request = urllib.request.Request(address, headers=headers or {}, method=method)
        if at:  # for this server only
            code = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {code}")
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)


def _chunks(url: str, response: HTTPResponse) -> Iterator[bytes]:
    with _connection(url):
        while chunk := response.read(CHUNK_BYTES):
            yield chunk


@contextlib.contextmanager
def _connection(url: str) -> Iterator[None]:
    """Converts errors of connections and servers."""
    try:
        yield
    except urllib.error.HTTPError as error:
        failure = ServerError(shown(url), "a file to download", f"HTTP {error.code}")
        failure.status = error.code
        error.close()  # it holds the connection
        raise failure from None
    except (HTTPException, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        got = shown(f"no connection ({reason})")
        raise ServerError(shown(url), "a file to download", got) from None
