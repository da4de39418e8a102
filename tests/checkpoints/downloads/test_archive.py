import errno
import io
import shutil
import struct
import threading
import zipfile

import numpy as np
import pytest

from spectrodiff.checkpoints.downloads.archive import unpack
from spectrodiff.checkpoints.downloads.fetch import arrived_bytes, fetch
from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.core.files import cache_folder
from tests.support.files import files_below, make_zip
from tests.support.limits import Limited


def fetch_zip(url, cache=None):
    return fetch(find_source(url), cache=cache).folder


FILES = {"a/one.txt": b"one" * 1000, "a/two/three.bin": bytes(range(256)) * 50}


@pytest.fixture
def url(file_server):
    file_server.files["/models/some.zip"] = make_zip(FILES)
    return f"{file_server.url}/models/some.zip"


def test_download_once(file_server, url, tmp_path):
    folder = fetch_zip(url, tmp_path)
    assert files_below(folder) == FILES
    assert fetch_zip(url, tmp_path) == folder
    assert file_server.transfers == [("/models/some.zip", None)]
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, f"{folder.name}.lock"}


def test_default_cache(url, tmp_path, monkeypatch):
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(tmp_path / "here"))
    assert fetch_zip(url).parent == tmp_path / "here"
    monkeypatch.delenv("SPECTRODIFF_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/spectrodiff"


def test_archives_of_the_same_name_are_kept_apart(file_server, url, tmp_path):
    file_server.files["/others/some.zip"] = make_zip({"b": b"b"})
    folders = {fetch_zip(url, tmp_path), fetch_zip(f"{file_server.url}/others/some.zip", tmp_path)}
    assert len(folders) == 2


def break_off(server, url, cache):
    """A download that ends after 1000 bytes."""
    server.cut_after = 1000
    with pytest.raises(CheckpointError, match="1,000; try again"):
        fetch_zip(url, cache)
    server.cut_after = None
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_broken_download_goes_on(file_server, url, tmp_path):
    break_off(file_server, url, tmp_path)
    assert files_below(fetch_zip(url, tmp_path)) == FILES
    assert [range for _, range in file_server.transfers] == [None, "bytes=1000-"]


def test_a_server_that_cannot_go_on_starts_again(file_server, url, tmp_path):
    break_off(file_server, url, tmp_path)
    file_server.ranges = False
    assert files_below(fetch_zip(url, tmp_path)) == FILES


def test_an_archive_that_changed_meanwhile_starts_again(file_server, url, tmp_path):
    break_off(file_server, url, tmp_path)
    file_server.etag = '"second"'
    file_server.files["/models/some.zip"] = make_zip({"new": b"new" * 2000})
    assert files_below(fetch_zip(url, tmp_path)) == {"new": b"new" * 2000}


def test_a_download_that_was_complete_but_not_unpacked(file_server, url, tmp_path):
    break_off(file_server, url, tmp_path)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(file_server.files["/models/some.zip"])
    assert files_below(fetch_zip(url, tmp_path)) == FILES


def test_two_at_once_download_once(file_server, url, tmp_path):
    threads = [threading.Thread(target=fetch_zip, args=(url, tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file_server.transfers == [("/models/some.zip", None)]


def test_not_there(file_server, tmp_path):
    with pytest.raises(CheckpointError, match="HTTP 404"):
        fetch_zip(f"{file_server.url}/none.zip", tmp_path)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/a.zip", "http://", "https://[", "http://127.0.0.1:x/a.zip"]
)
def test_no_connection_says_how_to_do_without(url, tmp_path):
    with pytest.raises(CheckpointError, match="without a network: bring") as error:
        fetch_zip(url, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "a\\..\\b", "C:/outside"]
)
def test_members_outside_the_folder(file_server, tmp_path, name):
    file_server.files["/bad.zip"] = make_zip({"good.txt": b"good", name: b"bad"})
    with pytest.raises(CheckpointError, match="would be written to"):
        fetch_zip(f"{file_server.url}/bad.zip", tmp_path / "cache")
    assert not list(tmp_path.rglob("*.txt"))


def test_links_are_not_followed(file_server, tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, str(tmp_path))
        archive.writestr("link/file.txt", "text")
    file_server.files["/bad.zip"] = buffer.getvalue()
    with pytest.raises((CheckpointError, OutputError)):
        fetch_zip(f"{file_server.url}/bad.zip", tmp_path / "cache")
    assert not (tmp_path / "file.txt").exists()


def test_an_archive_too_large(file_server, url, tmp_path, monkeypatch):
    monkeypatch.setattr("spectrodiff.checkpoints.downloads.archive.MAX_UNPACKED_BYTES", 15_000)
    with pytest.raises(CheckpointError, match="15,800 bytes in 2 files"):
        fetch_zip(url, tmp_path)
    monkeypatch.setattr("spectrodiff.checkpoints.downloads.archive.MAX_UNPACKED_BYTES", 15_800)
    assert files_below(fetch_zip(url, tmp_path)) == FILES


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (zipfile.ZIP_DEFLATED, "73,400,320 bytes in 1 files"),
        (zipfile.ZIP_BZIP2, "another compression than deflate"),
        (zipfile.ZIP_LZMA, "another compression than deflate"),
    ],
)
def test_an_archive_of_nothing(tmp_path, method, message):
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("zeros", bytes(70 << 20))
    with pytest.raises(CheckpointError, match=message):
        unpack(path, tmp_path / "unpacked", "some.zip")
    assert not (tmp_path / "unpacked").exists()


def test_an_archive_with_an_endless_directory(tmp_path):
    path, size = tmp_path / "some.zip", 3 << 30
    with path.open("wb") as file:
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0))
    with (
        Limited(unpack.__module__) as child,
        pytest.raises(CheckpointError, match="a directory of more than"),
    ):
        child.run(unpack, path, tmp_path / "unpacked", "some.zip")


@pytest.mark.parametrize("damage", ["a page", "a changed byte", "half"])
def test_what_is_no_archive_is_not_kept(file_server, url, tmp_path, damage):
    whole = file_server.files["/models/some.zip"]
    changed = whole.replace(b"oneone", b"oneOne", 1)
    file_server.files["/models/some.zip"] = {
        "a page": b"<html>",
        "a changed byte": changed,
        "half": whole[: len(whole) // 2],
    }[damage]
    with pytest.raises(CheckpointError, match="can be unpacked"):
        fetch_zip(url, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    file_server.files["/models/some.zip"] = whole
    assert files_below(fetch_zip(url, tmp_path)) == FILES


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
def test_damaged_members(file_server, tmp_path, method):
    # What is stored as it is, is not what the archive says it is.
    data = bytearray(make_zip({"a": b"x" * 100_000}))
    for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(sign) + place, method)
    file_server.files["/bad.zip"] = bytes(data)
    with pytest.raises(CheckpointError, match="a zip archive that can be unpacked"):
        fetch_zip(f"{file_server.url}/bad.zip", tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("names", [["m", "m/a"], ["x" * 300]])
def test_names_that_no_folder_can_have(file_server, tmp_path, names):
    file_server.files["/bad.zip"] = make_zip(dict.fromkeys(names, b"1"))
    with pytest.raises(CheckpointError, match="a zip archive that can be unpacked"):
        fetch_zip(f"{file_server.url}/bad.zip", tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_disk_that_is_full_keeps_the_download(url, file_server, tmp_path, error, killed):
    def extract_one(archive, path):
        archive.extract("a/one.txt", path)
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extractall", extract_one)
        if killed:  # nothing is cleaned up
            patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises((OutputError, KeyboardInterrupt)) as raised:
            fetch_zip(url, tmp_path)
    if raised.type is OutputError:
        assert "the download is kept, try again to unpack it" in str(raised.value)
        assert raised.value.subject == str(tmp_path)
    assert bool(list(tmp_path.glob(".partial*"))) == killed
    arrived = arrived_bytes(find_source(url), tmp_path)
    assert arrived == len(file_server.files["/models/some.zip"])
    folder = fetch_zip(url, tmp_path)
    assert files_below(folder) == FILES
    assert file_server.transfers == [("/models/some.zip", None)]
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, f"{folder.name}.lock"}


def test_space_for_the_contents(url, file_server, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(3_000_000))
    file_server.files["/models/some.zip"] = buffer.getvalue()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=2_000_000))
    with pytest.raises(OutputError, match=r"3\.0 MB of free space, got 2\.0 MB; the download"):
        fetch_zip(url, tmp_path)
    monkeypatch.undo()
    assert files_below(fetch_zip(url, tmp_path)) == {"zeros": bytes(3_000_000)}
    assert len(file_server.transfers) == 1


def test_a_cache_that_cannot_be_written(url, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        fetch_zip(url, tmp_path / "file" / "cache")


def test_a_released_archive(file_server, golden, tmp_path):
    # As released: everything in one folder that is named like the archive.
    files = files_below(golden / "checkpoints/t5x")
    file_server.files["/tiny_with_context.zip"] = make_zip(
        {f"tiny_with_context/{name}": data for name, data in files.items()}
    )
    url = f"{file_server.url}/tiny_with_context.zip"
    checkpoint = open_checkpoint(url, cache=tmp_path)
    with np.load(golden / "network_context_concat_encodings.npz") as arrays:
        np.testing.assert_array_equal(
            checkpoint.params["decoder"]["output"]["kernel"],
            arrays["params/decoder/spec_out_dense/kernel"],
        )
