"""Writing where it fails: nothing is lost, nothing is left, and the error says why."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from spectrodiff.checkpoints.downloads.cache import check_space
from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import atomic_file, temporary_folder, write_array
from tests.support.files import files_below, small_files

HEADER = 128  # bytes of an .npy file before the array


@pytest.mark.parametrize("limit", [0, 10, HEADER, HEADER + 3999])
def test_an_array_is_written_whole_or_not_at_all(tmp_path, limit):
    write_array(tmp_path / "a.npy", np.arange(3))
    before = files_below(tmp_path)
    with small_files(limit), pytest.raises(OutputError, match=r"a\.npy: .* got File too large"):
        write_array(tmp_path / "a.npy", np.zeros(1000, np.float32))
    assert files_below(tmp_path) == before
    with small_files(HEADER + 4000):
        write_array(tmp_path / "a.npy", np.zeros(1000, np.float32))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.zeros(1000, np.float32))


def failing(number, function=None):
    """A call that fails, after another one."""

    def call(*arguments, **options):
        if function is not None:
            function(*arguments, **options)
        raise OSError(number, os.strerror(number))

    return call


def test_a_file_that_cannot_be_closed_is_not_left(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "close", failing(errno.EIO, os.close))
    with pytest.raises(OutputError, match="got Input/output error"):
        write_array(tmp_path / "a.npy", np.zeros(3))
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_becomes_read_only_is_named(tmp_path, monkeypatch):
    def write():
        with atomic_file(tmp_path / "a.txt"):
            for name in ("replace", "unlink"):
                monkeypatch.setattr(os, name, failing(errno.EROFS))

    with pytest.raises(OutputError, match=r"a\.txt: .* got Read-only file system"):
        write()


def test_no_place_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(OutputError, match=f"{tmp_path}/none: .* got No such file"),
        temporary_folder(),
    ):
        pass


def test_temporary_files_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        (folder / "a").touch()
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_differ_are_told_apart(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_040_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check_space(tmp_path, 1_040_000)
    with pytest.raises(OutputError, match=r"expected 1\.1 MB of free space, got 1\.0 MB$"):
        check_space(tmp_path, 1_050_000)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_standard_output_on_a_full_disk_is_one_line(golden, flags):
    words = [sys.executable, "-m", "spectrodiff", "inspect", *flags, golden / "midi/overlaps.mid"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    place = "standard output: expected a place that can be written to"
    assert done.stderr == f"error: {place}, got No space left on device\n"
