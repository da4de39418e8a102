"""Paths that are URLs, and names of files for ids."""

import zlib
from pathlib import Path

import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import (
    atomic_file,
    atomic_folder,
    check_writable,
    file_name,
    local_path,
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
