import base64
import hashlib
from email.message import Message

import numpy as np
import pytest

from spectrodiff.checkpoints.downloads.checksums import (
    check_file,
    checksum,
    crc32c,
    published_checksums,
)
from spectrodiff.checkpoints.downloads.fetch import fetch
from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.core.errors import CheckpointError

# Of the bytes "123456789", as catalogues of checksums give them; MD5 is that of md5sum.
CHECK = b"123456789"
CRC32C = "e3069283"
MD5 = "25f9e794323b453885f5181f1b624d0b"


def headers(values):
    message = Message()
    for name, value in values.items():
        for one in [value] if isinstance(value, str) else value:
            message[name] = one
    return message


def coded(digest):
    return base64.b64encode(bytes.fromhex(digest)).decode()


def test_crc32c_of_known_texts():
    # The second to fourth are in RFC 3720, appendix B.4, whose bytes are in reverse order.
    assert f"{crc32c(CHECK):08x}" == CRC32C
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0


@pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 5000, 100_003, 1 << 20])
def test_crc32c_bit_by_bit(size):
    from tensorboardX.crc32c import crc32c as reference

    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == reference(data)
    assert crc32c(data[size // 3 :], crc32c(data[: size // 3])) == reference(data)


def test_checksums_of_files(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CHECK)
    assert checksum(path, "crc32c") == CRC32C
    assert checksum(path, "md5") == MD5
    assert check_file(path, "file", {}) is None
    assert check_file(path, "file", {"crc32c": CRC32C, "md5": MD5}) == "md5"
    with pytest.raises(CheckpointError, match=f"expected crc32c {CRC32C[::-1]}, got {CRC32C}"):
        check_file(path, "file", {"crc32c": CRC32C[::-1]})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {}),
        ({"ETag": f'"{MD5}"'}, {}),  # of a server that may compute it in any way
        ({"ETag": f'"{MD5}"', "x-bce-request-id": "1"}, {"md5": MD5}),
        ({"ETag": f'"-{MD5}"', "x-bce-request-id": "1"}, {}),  # of a file sent in parts
        ({"ETag": f'"{MD5}-3"', "x-amz-request-id": "1"}, {}),
        ({"ETag": f'"{MD5}"', "x-amz-request-id": "1"}, {"md5": MD5}),
        (
            {
                "ETag": f'"{MD5}"',
                "x-amz-request-id": "1",
                "x-amz-server-side-encryption": "aws:kms",
            },
            {},
        ),
        ({"Content-MD5": coded(MD5)}, {"md5": MD5}),
        (
            {"x-goog-hash": f"crc32c={coded(CRC32C)},md5={coded(MD5)}"},
            {"crc32c": CRC32C, "md5": MD5},
        ),
        (
            {"x-goog-hash": [f"crc32c={coded(CRC32C)}", f"md5={coded(MD5)}"]},
            {"crc32c": CRC32C, "md5": MD5},
        ),
        ({"x-goog-hash": f"md5={coded(MD5)}", "x-goog-stored-content-encoding": "gzip"}, {}),
        ({"x-goog-hash": "md5=no base64!, sha9=abcd"}, {}),
    ],
)
def test_published_checksums(given, found):
    assert published_checksums(headers(given)) == found


def test_the_md5_of_a_part_is_not_that_of_the_file():
    assert published_checksums(headers({"Content-MD5": coded(MD5)}), whole=False) == {}


@pytest.mark.parametrize("kind", ["md5", "crc32c"])
def test_downloads_are_compared(file_server, tmp_path, kind):
    # A zip archive without members.
    data = b"PK\x05\x06" + bytes(18)
    file_server.files["/empty.zip"] = data
    right = {"md5": hashlib.md5(data).hexdigest(), "crc32c": f"{crc32c(data):08x}"}[kind]
    wrong = right[::-1]
    source = find_source(f"{file_server.url}/empty.zip")
    file_server.headers["/empty.zip"] = {"x-goog-hash": f"{kind}={coded(wrong)}"}
    with pytest.raises(CheckpointError, match=f"{kind} {wrong}, got {right}; the damaged download"):
        fetch(source, cache=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part" or path.is_dir()]
    file_server.headers["/empty.zip"] = {"x-goog-hash": f"{kind}={coded(right)}"}
    (received,) = fetch(source, cache=tmp_path).files
    assert (received.size, received.checked) == (22, kind)
