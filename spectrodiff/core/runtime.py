"""Process setup and end: devices, cache of compiled programs, memory allocation, and Ctrl-C."""

import _thread
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.suggestions import did_you_mean

if TYPE_CHECKING:
    import jax


_KINDS = ("cpu", "gpu", "tpu")
_ALIASES = {"cuda": "gpu"}
# Longer than most functions that Python calls while it collects garbage.
INTERRUPT_AGAIN_SECONDS = 0.02
# Exit status of a command that Ctrl-C stopped.
STOPPED = 130


def num_cores() -> int:
    """Returns the number of processor cores that this process may use."""
    # Containers and batch systems may allow fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_devices(kind: str) -> "list[jax.Device]":
    """Returns all devices of a kind: "auto" (the fastest available), "cpu", "gpu" or "tpu".

    "cuda" is another name of "gpu".

    Raises:
        ConfigError: if there is no such device.
    """
    import jax

    if kind == "auto":
        return jax.devices()
    try:
        return jax.devices(_ALIASES.get(kind, kind))
    except RuntimeError:
        names = ("auto", *_KINDS, *_ALIASES)
        got = f"{kind}, of which this machine has none that JAX can use"
        if kind not in names:
            got = f"{kind}{did_you_mean(kind, names)}"
        raise ConfigError("device", f"one of {_kinds()}", got) from None


def enable_compilation_cache() -> Path:
    """Enables JAX's cache of compiled programs on disk; returns its folder.

    The folder is $JAX_COMPILATION_CACHE_DIR, or else `compiled` in `cache_folder()`, which is kept
    below `MAX_BYTES`. Only trusted users may have write access to it, since programs in it are
    executed. Without a folder that can be read, it logs a warning and enables nothing.
    """
    from spectrodiff.core.files import cache_folder
    from spectrodiff.core.program_cache import MAX_BYTES, open_cache

    given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = Path(given) if given else cache_folder() / "compiled"
    open_cache(folder, most=None if given else MAX_BYTES)
    return folder


def keep_memory() -> None:
    """Keeps freed memory in this process, for faster repeated allocations (glibc only).

    A training step on a CPU allocates and frees gigabytes. By default the C library returns them
    to the system, which then clears and maps every page again in the next step. The process stays
    at its peak size, and the peak rises through fragmentation: 2.4 GB instead of 1.9 GB in a
    training run with evaluations and previews. Call it before JAX starts its threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in _KEEP_MEMORY:
            mallopt(option, value)


# Options of malloc.h: never trim; no mmap; one arena for all threads, since only the first arena
# can grow without bounds.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_KEEP_MEMORY = ((_M_TRIM_THRESHOLD, -1), (_M_MMAP_MAX, 0), (_M_ARENA_MAX, 1))


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Starts processes that Ctrl-C does not reach, from their first moment on.

    A terminal sends it to all processes of a command. The one that started the others ends them and
    reports it; one that is just starting would print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    # The first process of multiprocessing starts another one, and unblocks the signal after that.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def callbacks_interruptible() -> Iterator[None]:
    """Lets Ctrl-C stop the program also while Python collects garbage or deletes objects.

    Errors in functions that are called then, as one of JAX is, are ignored by Python: this one too.
    """
    before = sys.unraisablehook

    def hook(error: "sys.UnraisableHookArgs") -> None:
        if error.exc_type is not KeyboardInterrupt:
            before(error)
            return
        # Once more, and again, until it comes at another moment. A simpler thread than those of
        # `threading`, as another Ctrl-C while it is started would be lost.
        _thread.start_new_thread(_interrupt_soon, ())

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def end_at_once() -> None:
    """Lets Ctrl-C end this process as the system does, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def skip_teardown(status: int) -> NoReturn:
    """Ends the process now, without waiting for threads or clearing up modules."""
    logging.shutdown()  # as `logging` does itself when Python ends
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None if it was closed at the start
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _interrupt_soon() -> None:
    time.sleep(INTERRUPT_AGAIN_SECONDS)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:  # Windows, where any thread wakes the main one
        signal.raise_signal(signal.SIGINT)


def _kinds() -> str:
    import jax

    return ", ".join(["auto", *sorted({device.platform for device in jax.local_devices()})])
