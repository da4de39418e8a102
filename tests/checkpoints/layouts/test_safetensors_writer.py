"""Safetensors files are those of the library, byte by byte, and whole."""

import errno
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from spectrodiff.checkpoints.layouts.safetensors_file import write_safetensors
from spectrodiff.core.errors import OutputError
from tests.support.files import small_files

ARRAYS = {
    "b/ä": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "a": np.arange(5, dtype=np.float32),
    "empty": np.zeros((0, 3), np.float32),
}
TYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
@pytest.mark.parametrize("dtype", TYPES)
def test_files_are_those_of_the_library(tmp_path, dtype, metadata):
    write_safetensors(tmp_path / "ours", ARRAYS, dtype, metadata)
    theirs = {name: values.astype(TYPES[dtype]) for name, values in ARRAYS.items()}
    save_file(theirs, tmp_path / "theirs", metadata)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_errors_of_closing_are_told(tmp_path, monkeypatch):
    def failing(path, mode):
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT), mode)
        # Closed already when Python closes it, as by a file system that loses the data then.
        os.close(file.fileno())
        return file

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(OutputError, match=os.strerror(errno.EBADF)) as caught:
        write_safetensors(tmp_path / "weights", ARRAYS, subject=tmp_path)
    assert caught.value.subject == str(tmp_path)


@pytest.mark.parametrize("limit", [0, 9, 200])
def test_a_full_disk(tmp_path, limit):
    with small_files(limit), pytest.raises(OutputError, match="got File too large"):
        write_safetensors(tmp_path / "weights", ARRAYS)
