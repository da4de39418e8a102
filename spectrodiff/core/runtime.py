"""Devices, the cache of compiled programs, and memory of this process."""

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spectrodiff.core.errors import ConfigError

if TYPE_CHECKING:
    import jax


def find_devices(kind: str) -> "list[jax.Device]":
    """All devices of a kind: "auto" (the fastest there is), "cpu", "gpu" or "tpu".

    Raises:
        ConfigError: if there is none.
    """
    import jax

    if kind == "auto":
        return jax.devices()
    try:
        return jax.devices(kind)
    except RuntimeError:
        raise ConfigError("device", f"one of {_kinds()}", kind) from None


def enable_compilation_cache() -> Path:
    """Keeps compiled programs from one process to the next; returns the folder.

    It is $JAX_COMPILATION_CACHE_DIR if that is set, and else lies in the cache folder of the
    package. The folder must be one that only trusted people can write to.
    """
    import jax

    from spectrodiff.core.files import cache_folder

    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache_folder() / "compiled")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Keep even what compiles quickly: a program needs many small ones before its first sound.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


def keep_memory() -> None:
    """Has freed memory stay with this process; for work that needs the same again and again.

    A training step on a CPU allocates gigabytes and frees them. By default the C library returns
    them to the system, which clears and maps every page anew in the next step. The process stays
    as large as it has ever been, and needs more at most, for freed blocks of one size are not
    always of use for another: 2.4 GB instead of 1.9 in a training run with evaluations and
    previews. Has to come before JAX starts its threads; does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in _KEEP_MEMORY:
            mallopt(option, value)


# Numbers of malloc.h: never trim, nothing apart from the heap, one heap for all threads (only the
# first can grow without bounds).
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_KEEP_MEMORY = ((_M_TRIM_THRESHOLD, -1), (_M_MMAP_MAX, 0), (_M_ARENA_MAX, 1))


def _kinds() -> str:
    import jax

    return ", ".join(["auto", *sorted({device.platform for device in jax.local_devices()})])
