"""Servers that do not keep to the rules, and what is not said of their addresses."""

import base64
import json
import os

import pytest

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.fetch import fetch
from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.commands.sharing.fetch import main
from spectrodiff.core.errors import CheckpointError
from tests.support.files import files_below, make_zip

OLD, NEW = ({"file": bytes([value]) * 5000} for value in (1, 2))


@pytest.fixture
def server(file_server):
    file_server.files["/some.zip"] = make_zip(OLD)
    return file_server


def fetched(server, cache):
    return files_below(fetch(find_source(f"{server.url}/some.zip"), cache=cache).folder)


def break_off(server, cache):
    server.cut_after = 1000
    with pytest.raises(CheckpointError, match="1,000; try again"):
        fetched(server, cache)
    server.cut_after = None


def test_versions_are_not_joined(server, tmp_path):
    # Both versions have the same length.
    break_off(server, tmp_path)
    server.files["/some.zip"], server.etag, server.if_range = make_zip(NEW), '"second"', False
    assert fetched(server, tmp_path) == NEW
    assert [range for _, range in server.transfers] == [None, "bytes=1000-", None]


@pytest.mark.parametrize("name", ["*.zip.part", "*.zip.part.version", "*.zip.version", "*.zip"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_file_in_the_cache_is_removed(name, kind, server, tmp_path):
    """A pipe would be waited for, and what a link leads to be written over."""
    break_off(server, tmp_path / "cache")
    (part,) = (tmp_path / "cache").rglob("*.zip.part")
    path = part.with_name(name.replace("*.zip", part.name.removesuffix(".part")))
    (tmp_path / "theirs").write_text("theirs")
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "theirs")
    assert fetched(server, tmp_path / "cache") == OLD
    assert (tmp_path / "theirs").read_text() == "theirs"


@pytest.mark.parametrize("shift", [-1, 1])
def test_another_range_than_asked_for(server, tmp_path, shift):
    break_off(server, tmp_path)
    server.shift = shift
    assert fetched(server, tmp_path) == OLD


@pytest.mark.parametrize(
    ("name", "value"),
    [("Content-Length", "9" * 5000), ("Content-Length", "-1"), ("Content-MD5", "é")],
)
def test_headers_without_sense(server, tmp_path, name, value):
    server.headers["/some.zip"] = {name: value}
    assert fetched(server, tmp_path) == OLD


@pytest.mark.parametrize("version", [b"\xff\xfe", b'"a"\nX: 1', b""])
def test_a_damaged_note_of_the_version(server, tmp_path, version):
    break_off(server, tmp_path)
    (note,) = tmp_path.glob("*.version")
    note.write_bytes(version)
    assert fetched(server, tmp_path) == OLD


@pytest.mark.parametrize("status", [400, 401, 405, 500, 501])
def test_a_server_that_refuses(server, tmp_path, status):
    server.refusal = status
    with pytest.raises(CheckpointError, match=f"HTTP {status}"):
        fetched(server, tmp_path)


def test_a_version_of_any_bytes(server, tmp_path):
    server.etag = '"\xe9"'
    break_off(server, tmp_path)
    (note,) = tmp_path.glob("*.version")
    assert note.read_bytes() == b'"\xe9"'  # as it was sent


@pytest.mark.parametrize("url", ["http://\udcff/a.zip", "http://127.0.0.1:9/\udcff.zip"])
def test_an_address_that_is_no_text(tmp_path, url):
    with pytest.raises(CheckpointError, match="no connection"):
        fetch(find_source(url), cache=tmp_path)


@pytest.mark.parametrize("url", ["HTTP://host/m.zip", "Http://host/m/", "HTTPS://host/m"])
def test_upper_case(url, tmp_path):
    scheme, rest = url.split(":")
    lower = find_source(f"{scheme.lower()}:{rest}")
    assert find_source(url).kind == lower.kind
    assert find_source(url).place(tmp_path) == lower.place(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/a@b/m.zip", "https://host/a@b/m.zip"),
        ("https://me:secret@host/m.zip", "https://***@host/m.zip"),
        ("https://me:se@cret@host:1/m", "https://***@host:1/m"),
        ("https://secret@host", "https://***@host"),
        ("https://host/m?a=secret&b=secret=&secret", "https://host/m?a=***&b=***&***"),
        ("https://host/m?secret=", "https://host/m?***"),
        ("https://host/m?a=secret#part", "https://host/m?a=***#part"),
        ("me/mine@v1", "me/mine@v1"),
    ],
)
def test_what_is_shown_of_an_address(text, expected):
    assert shown(text) == expected


def test_secrets_are_used_but_not_shown(server, golden, tmp_path, caplog, capsys, monkeypatch):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(tmp_path / "cache"))
    server.files["/some.zip"] = make_zip(files_below(golden / "checkpoints/t5x"))
    url = server.url.replace("//", "//me:a%20pa55@") + "/some.zip?signature=pa55"
    main([url])
    printed = capsys.readouterr().out
    folder = find_source(url).place()
    assert f"use it: --model {folder}" in printed
    assert set(server.credentials) == {"Basic " + base64.b64encode(b"me:a pa55").decode()}
    assert server.requests[0][1] == "/some.zip?signature=pa55"
    main([url, "--json"])
    described = json.loads(capsys.readouterr().out)
    name = open_checkpoint(url).name
    for text in (printed, caplog.text, str(described), str(folder), name):
        assert "pa55" not in text
    assert "downloading" in caplog.text


@pytest.mark.parametrize(
    "path",
    ["none.zip?a=pa55", "some.zip?a=pa55", "some.zip?a=pa55 b", "none/?a=pa55", "folder/"],
)
@pytest.mark.parametrize("host", [None, "127.0.0.1:9", "127.0.0.1:x", "[", "a b"])
def test_errors_show_no_secrets(server, tmp_path, path, host):
    server.files["/some.zip"] = b"no archive"
    host = host or server.url.removeprefix("http://")
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(f"http://me:pa55@{host}/{path}", cache=tmp_path)
    assert "pa55" not in str(error.value)
    assert not list(tmp_path.rglob("*pa55*"))
