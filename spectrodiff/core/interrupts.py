"""Ctrl-C, which a terminal sends to all processes of a command."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Starts processes that Ctrl-C does not reach, from their first moment on.

    The command that started them ends them and reports it; one that is just starting would print
    a traceback.
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


def end_at_once() -> None:
    """Lets Ctrl-C end this process as the system does, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
