"""Paths that are URLs, names of files for ids, and what is no regular file."""

import contextlib
import os
import socket
import zlib
from pathlib import Path

import pytest

from spectrodiff.core.errors import ConfigError, OutputError
from spectrodiff.core.files import (
    atomic_file,
    atomic_folder,
    check_regular,
    check_tree,
    check_writable,
    file_name,
    local_path,
    open_regular,
    read_regular,
    refuse_remote,
)


@pytest.mark.parametrize(
    "text", ["gs://bucket/a", "s3:/bucket", "file:///a", "https://x.org/a.wav"]
)
def test_urls_are_no_paths(text):
    with pytest.raises(ConfigError, match=f"^{text}: expected a path on this machine.* got a URL"):
        local_path(text)


@pytest.mark.parametrize("text", ["a", "../a/b.wav", "/a:/b", "a/gs://b", "C:/a", "gs:", "~/a"])
def test_paths_are_paths(text):
    assert local_path(text) == Path(text)


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
@pytest.mark.parametrize("path", ["gs://b/a", Path("s3://b/a")])
def test_nothing_is_written_for_a_url(write, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="got a URL"), write(path):
        pass
    with pytest.raises(ConfigError, match="got a URL"):
        check_writable(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["https://x.org/a.zip", "HTTP://x.org", "mini", "a/gs://b", ""])
def test_only_remote_file_systems_are_refused(text):
    refuse_remote(text)
    with pytest.raises(ConfigError, match=r"^Data.corpora: .*gcsfuse.* got gs://b$"):
        refuse_remote("gs://b", "Data.corpora")


def test_simple_ids_are_names():
    for id in ("Track00001.mix-2", "caf\u00e9", "a_b", "x" * 200):
        assert file_name(id) == id


def test_different_ids_have_different_names():
    ids = ["2018/a b", "2018_a_b", "2018/a/b", "../a", ".a", "a", "A/b", "\u00e9" * 150, "x" * 201]
    ids += ["x" * 202, "x" * 5000, "x" * 4999 + "y", "caf\udce9", "...", "..", "/", ""]
    # An id that looks like the name of another one.
    ids += [file_name(id) for id in ids if file_name(id) != id]
    names = {file_name(id) for id in ids}
    assert len(names) == len(ids)
    for name in names:
        assert name == name.encode().decode()
        assert 0 < len(name.encode()) <= 200
        assert "/" not in name
        assert not name.startswith(".")


def test_names_are_those_of_earlier_versions():
    checksum = zlib.crc32(b'"2018/a b"')
    assert file_name("2018/a b") == f"2018_a_b-{checksum:08x}"


def make(kind: str, path: Path) -> None:
    """Makes something that is no regular file."""
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a socket":
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)  # names of sockets are short
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
@pytest.mark.parametrize("read", [open_regular, check_regular, lambda path: read_regular(path, 9)])
def test_only_regular_files_are_opened(read, kind, tmp_path):
    make(kind, tmp_path / "a")
    before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
    with pytest.raises(OSError, match="a") as caught:
        read(tmp_path / "a")
    assert caught.value.strerror == f"{kind}, no file"
    assert caught.value.filename == str(tmp_path / "a")
    assert len(before) == (len(os.listdir("/proc/self/fd")) if before else 0)


def test_files_and_links_to_them_are_opened(tmp_path):
    (tmp_path / "a").write_bytes(b"\0ab\r\n")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"\0ab\r\n"
            assert os.get_blocking(file.fileno())
        check_regular(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        check_regular(tmp_path / "b")


def test_reading_is_bounded(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="one of more than 4 bytes"):
        read_regular(path, 4)
    os.truncate(path, 1 << 43)  # no memory is that large
    with pytest.raises(OSError, match=r"one of more than 1,048,576 bytes"):
        read_regular(path, 1 << 20)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="about files of Linux")
def test_files_without_a_size_are_read_and_bounded():
    assert os.path.getsize("/proc/self/status") == 0
    assert read_regular("/proc/self/status", 1 << 20).startswith(b"Name:")
    with pytest.raises(OSError, match="one of more than 20 bytes"):
        read_regular("/proc/self/status", 20)


def test_pipes_are_opened_on_demand(tmp_path):
    os.mkfifo(tmp_path / "a")
    with open_regular(tmp_path / "a", pipes=True) as file:  # nothing writes to it
        assert file.read() == b""
    reader, writer = os.pipe()
    os.write(writer, b"notes")
    os.close(writer)
    with open_regular(f"/dev/fd/{reader}", pipes=True) as file:  # as <(program) in a shell
        assert file.read() == b"notes"
    os.close(reader)


@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_what_is_no_file_is_found_in_folders(kind, tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/a").write_text("a")
    # Links to themselves, twice at each level, and to nothing.
    for name in ("up", "again", "inner/up", "inner/again"):
        (folder / name).symlink_to(folder)
    (folder / "nothing").symlink_to("nowhere")
    check_tree(folder)
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "inner/outside").symlink_to(outside)
    make(kind, outside / "a")
    with pytest.raises(OSError, match=f"{kind}, no file") as caught:
        check_tree(folder)
    assert caught.value.filename.endswith("/outside/a")


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a socket", "a folder"])
def test_only_files_are_replaced(kind, tmp_path):
    path = tmp_path / "a.json"
    make(kind, path)
    expected = pytest.raises(OutputError, match=f"a.json: expected a new file, .* got {kind}$")
    with expected, atomic_file(path) as temporary:
        temporary.write_text("a")
    assert not path.is_file()
    assert os.listdir(tmp_path) == ["a.json"]


def test_links_are_replaced_rather_than_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("theirs")
    for name, target in (("to a file", "elsewhere"), ("to nothing", "nowhere")):
        (tmp_path / name).symlink_to(target)
        with atomic_file(tmp_path / name) as temporary:
            temporary.write_text("ours")
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "ours"
    assert (tmp_path / "elsewhere").read_text() == "theirs"
    assert not (tmp_path / "nowhere").exists()
