"""The cache of compiled programs on disk, after a full disk and other accidents."""

import logging
import os
import warnings
import zlib

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from spectrodiff.core import runtime
from spectrodiff.core.program_cache import open_cache
from tests.support.files import small_files


@pytest.fixture
def folder(tmp_path):
    """An empty cache, in use; the one of the tests is used afterwards."""
    before = jax.config.jax_compilation_cache_dir
    reset_cache()
    # As in a program that ignores warnings.
    warnings.simplefilter("ignore")
    assert open_cache(tmp_path / "cache", None)
    yield tmp_path / "cache"
    jax.config.update("jax_compilation_cache_dir", before)
    reset_cache()


def first(x):
    return 2 * x + 1


def second(x):
    return jnp.sin(x) * 3


def run(*, sizes=(2, 3)):
    """Compiles four programs of two names as a new process would, and runs them."""
    # Functions that are new to JAX; their names are part of the names of entries.
    for function in (first, second):

        def again(x, function=function):
            return function(x)

        again.__name__ = function.__name__
        for size in sizes:
            x = jnp.arange(float(size))
            jax.jit(again)(x).block_until_ready()


def entries(folder, name=""):
    return sorted(folder.glob(f"jit_{name}*-cache"))


def messages(caplog):
    found = [record.getMessage() for record in caplog.records if "compiled" in record.getMessage()]
    caplog.clear()
    return found


DAMAGES = {
    "empty": lambda path: os.truncate(path, 0),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another program": lambda path: path.write_bytes(zlib.compress(b"\0\0\0\0" + b"no program")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_programs_are_removed_and_made_again(damage, folder, caplog):
    run()
    assert len(entries(folder, "first")) == len(entries(folder, "second")) == 2
    whole = {path: path.stat().st_ino for path in entries(folder)}
    bad = [*entries(folder, "first"), entries(folder, "second")[0]]
    for path in bad:
        DAMAGES[damage](path)
    run()
    # One line for all of them, then never again.
    (said,) = messages(caplog)
    assert said.startswith(f"{folder}: damaged compiled programs are removed and compiled again (")
    for path in bad:
        assert len(zlib.decompress(path.read_bytes())) > 100
    if damage != "another program":  # it is not known which of the two was meant
        assert entries(folder, "second")[1].stat().st_ino == whole[entries(folder, "second")[1]]
    run()
    assert not messages(caplog)


def test_a_full_disk_leaves_nothing_damaged(folder, caplog):
    with small_files(100):  # large enough for a part of an entry only
        run()
    (said,) = messages(caplog)
    assert said == f"{folder}: compiled programs are not kept (OSError: [Errno 27] File too large)"
    assert not entries(folder)
    run()
    assert not messages(caplog)
    assert len(entries(folder, "first")) == len(entries(folder, "second")) == 2


def test_other_warnings_pass(folder):
    del folder
    with pytest.warns(UserWarning, match="something else"):
        warnings.warn("something else", UserWarning, stacklevel=1)


def test_without_a_folder_nothing_is_kept(folder, tmp_path, caplog, monkeypatch):
    del folder
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file"))
    runtime.enable_compilation_cache()
    run()
    assert messages(caplog) == [f"{tmp_path}/file: compiled programs are not kept (File exists)"]
    assert jax.config.jax_compilation_cache_dir is None


def test_the_oldest_programs_beyond_the_bound_are_removed(folder, caplog):
    caplog.set_level(logging.INFO)
    sizes = {"a": 400, "b": 300, "c": 200, "d": 100}
    for age, (name, size) in enumerate(sizes.items()):
        path = folder / f"jit_{name}-00-cache"
        path.write_bytes(bytes(size))
        # What was used last counts, whenever it was written.
        times = {"a": (2000, 0), "b": (1000, 1000)}.get(name, (1000 + age, 1000))
        os.utime(path, times)
    (folder / "jit_e-00-cache").touch()
    os.mkfifo(folder / "jit_f-00-cache")
    (folder / "jit_g-00-cache").mkdir()
    (folder / "notes.txt").write_text("not ours")
    open_cache(folder, 700)
    left = {path.name for path in folder.iterdir()}
    assert left == {
        "jit_a-00-cache",
        "jit_c-00-cache",
        "jit_d-00-cache",
        "jit_g-00-cache",
        "notes.txt",
    }
    open_cache(folder, None)
    assert {path.name for path in folder.iterdir()} == left
    assert not messages(caplog)


def test_the_bound_is_for_our_own_folder(tmp_path, monkeypatch, folder):
    del folder
    opened = []
    monkeypatch.setattr(
        "spectrodiff.core.program_cache.open_cache", lambda *a, **k: opened.append((a, k))
    )
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert runtime.enable_compilation_cache() == tmp_path / "compiled"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "shared"))
    assert runtime.enable_compilation_cache() == tmp_path / "shared"
    assert opened == [
        ((tmp_path / "compiled",), {"most": 1 << 30}),
        ((tmp_path / "shared",), {"most": None}),
    ]
