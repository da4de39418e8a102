"""Checksums that servers publish with a file, and those of files on disk."""

import base64
import functools
import hashlib
import re
from collections.abc import Mapping
from email.message import Message
from pathlib import Path

import numpy as np

from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import open_regular

# From the strongest on; the first that is published is checked.
KINDS = ("sha256", "md5", "crc32c")
_BLOCK_BYTES = 1 << 20
_MD5 = re.compile(r'"?([0-9a-f]{32})"?', re.IGNORECASE)
# Headers of stores whose ETag is the MD5 of the file when it has the form of one.
_STORES = ("x-bce-request-id", "x-amz-request-id", "x-goog-hash")
# With keys of its own or of a customer, S3 returns an ETag of that form that is no MD5.
_ENCRYPTION = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm")


def published_checksums(headers: Message, *, whole: bool = True) -> dict[str, str]:
    """Returns the checksums of a file, in hexadecimal, from the headers of a response.

    Args:
        headers: of an HTTP response; known are x-goog-hash, Content-MD5, and the ETag of stores
            that are known to use an MD5.
        whole: False if the response is a part of the file, whose Content-MD5 is that of the part.
    """
    found = {}
    etag = _MD5.fullmatch(headers.get("ETag", ""))
    encrypted = any(headers.get(name, "AES256") != "AES256" for name in _ENCRYPTION)
    if etag and not encrypted and any(name in headers for name in _STORES):
        found["md5"] = etag[1].lower()
    coded = [("md5", headers.get("Content-MD5"))] if whole else []
    # A file that is stored compressed may be sent as it was before.
    stored = headers.get("x-goog-stored-content-encoding", "identity") == "identity"
    for value in (headers.get_all("x-goog-hash") or []) if stored else []:
        coded += [_pair(item) for item in value.split(",")]
    for kind, text in coded:
        if kind in KINDS and text and (digest := _from_base64(text)):
            found[kind] = digest
    return found


def check_file(path: Path, source: str, expected: Mapping[str, str]) -> str | None:
    """Compares a file with the strongest of its published checksums and returns its kind.

    Args:
        path: file.
        source: its address, for the error.
        expected: checksums in hexadecimal by kind; if there is none, None is returned.

    Raises:
        CheckpointError: if the file has another checksum.
    """
    kind = next((kind for kind in KINDS if kind in expected), None)
    if kind is None:
        return None
    got = checksum(path, kind)
    if got != expected[kind]:
        raise CheckpointError(source, f"{kind} {expected[kind]}", got)
    return kind


def check_download(path: Path, source: str, expected: Mapping[str, str]) -> str | None:
    """Checks a file that has been downloaded like `check_file`, and removes it if it is damaged.

    Raises:
        CheckpointError: if the file has another checksum.
    """
    try:
        return check_file(path, source, expected)
    except CheckpointError as error:
        path.resolve().unlink()  # what a link leads to, too, as in the cache of the Hub's client
        path.unlink(missing_ok=True)
        got = f"{error.got}; the damaged download has been removed, try again"
        raise CheckpointError(error.subject, error.expected, got) from None


def checksum(path: Path, kind: str) -> str:
    """Returns the checksum of a file in hexadecimal, of one of the `KINDS`."""
    with open_regular(path) as file:
        if kind != "crc32c":
            return hashlib.file_digest(file, kind).hexdigest()
        value = 0
        while block := file.read(_BLOCK_BYTES):
            value = crc32c(block, value)
    return f"{value:08x}"


def crc32c(data: bytes, value: int = 0) -> int:
    """Returns the CRC-32C (Castagnoli) of `data`, continuing that of the data before it.

    Args:
        data: bytes; a megabyte takes about 20 ms.
        value: checksum of what comes before.
    """
    lanes = 1 << min(10, max(0, len(data).bit_length() - 10))
    length = len(data) // lanes
    # Lanes of equal length are taken side by side, then joined in pairs.
    rows = np.frombuffer(data, np.uint8, lanes * length).reshape(lanes, length)
    states = np.zeros(lanes, np.uint32)
    states[0] = value ^ 0xFFFFFFFF
    table = _table()
    for column in np.ascontiguousarray(rows.T):
        states = table[(states ^ column) & 0xFF] ^ (states >> 8)
    while len(states) > 1:
        states = _after_zeros(states[::2], length) ^ states[1::2]
        length *= 2
    last = int(states[0])
    for byte in data[lanes * (len(data) // lanes) :]:
        last = int(table[(last ^ byte) & 0xFF]) ^ (last >> 8)
    return last ^ 0xFFFFFFFF


@functools.cache
def _table() -> np.ndarray:
    """Returns the change of the state by each value of its lowest byte, uint32 [256]."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


def _after_zeros(states: np.ndarray, count: int) -> np.ndarray:
    """Returns the states, uint32 [n], after `count` more bytes of zeros."""
    return _apply(states, _zeros(count))


@functools.lru_cache(maxsize=64)
def _zeros(count: int) -> np.ndarray:
    """Returns the states after `count` bytes of zeros from each single bit, uint32 [32].

    The state is linear in its bits, so that these images determine it.
    """
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if count == 0:
        return bits
    if count == 1:
        return _table()[bits & 0xFF] ^ (bits >> 8)
    half = _zeros(count // 2)
    images = bits
    for part in [half, half] + ([_zeros(1)] if count % 2 else []):
        images = _apply(images, part)
    return images


def _apply(states: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Returns the sums of the images of the bits that are set in each state, uint32 [n]."""
    result = np.zeros_like(states)
    for bit, image in enumerate(images):
        result ^= ((states >> np.uint32(bit)) & 1) * image
    return result


def _pair(item: str) -> tuple[str, str]:
    kind, _, text = item.strip().partition("=")
    return kind, text


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:  # also for what is not ASCII
        return ""
