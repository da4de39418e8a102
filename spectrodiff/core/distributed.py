"""Multi-process runs, requests to stop, and process exit."""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Generic, NoReturn, Protocol, Self, TypeVar

import jax
import numpy as np

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.runtime import STOPPED, skip_teardown

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SignalHandler = Callable[[int, FrameType | None], object] | int | None

# Polling interval while waiting for a stop request; longest wait for a thread at the end.
POLL_SECONDS, END_SECONDS = 0.1, 2.0
# Threads that are no longer waited for, and may never finish.
_given_up: list[threading.Thread] = []


def connect(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Connects to the other processes of a run; must precede any other use of JAX.

    Without arguments JAX detects the processes: under Slurm, Open MPI and on Cloud TPUs.

    Raises:
        ConfigError: if the other processes cannot be found or do not answer.
    """
    try:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator_address, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            "--coordinator_address", "reachable processes", str(error).splitlines()[0]
        ) from error


def is_leader() -> bool:
    """Returns True in the one process that writes shared files."""
    return jax.process_index() == 0


def largest(value: int) -> int:
    """Returns the maximum over all processes; a collective call."""
    return largest_of(value)[0]


def largest_of(*values: int) -> tuple[int, ...]:
    """Returns the maximum over all processes for each value; a collective call."""
    if jax.process_count() == 1:
        return values
    from jax.experimental import multihost_utils

    gathered = multihost_utils.process_allgather(np.array(values, np.int32))
    return tuple(int(value) for value in np.max(gathered, axis=0))


def wait_for_all() -> None:
    """Blocks until all processes have called it."""
    largest(0)


class StopRequest:
    """Records SIGTERM and Ctrl-C, so that a run can save before it ends.

    The training loop polls it during long waits. A second Ctrl-C ends the run immediately.
    """

    def __init__(self) -> None:
        self._asked = False
        self._previous_handlers: dict[int, _SignalHandler] = {}

    @property
    def asked(self) -> bool:
        """True after this process received a signal."""
        return self._asked

    def agreed(self) -> bool:
        """Returns True in all processes after any received a signal; a collective call."""
        # Signals arrive at different steps, and writing a checkpoint needs all processes.
        return largest(int(self._asked)) > 0

    def unless_asked(self, work: Callable[[], T]) -> T | None:
        """Runs long work; abandons it and returns None when a stop is requested.

        Args:
            work: runs in its own thread, which keeps running when abandoned.

        Raises:
            Exception: any exception that `work` raises.
        """
        if self._asked:
            return None
        thread = _Thread(work)
        while not thread.finished.wait(POLL_SECONDS):
            if self._asked:
                _given_up.append(thread)
                return None
        return thread.result()

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous_handlers[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        logger.warning("%s: saving, then stopping", signal.Signals(number).name)


class Closable(Protocol):
    """Object with a `close` method."""

    def close(self) -> None:
        """Releases the object's resources."""
        ...


@contextlib.contextmanager
def closing_soon(resource: Closable) -> Iterator[None]:
    """Closes a resource on exit, waiting at most END_SECONDS for it."""
    try:
        yield
    finally:
        thread = _Thread(resource.close)
        if thread.finished.wait(END_SECONDS):
            thread.result()
        else:
            _given_up.append(thread)


def abandon(thread: threading.Thread) -> None:
    """Lets `leave` end the process although a thread still runs."""
    _given_up.append(thread)


def leave(status: int) -> NoReturn:
    """Exits the process, even if an abandoned thread would keep it alive.

    Args:
        status: exit status; `STOPPED` exits without waiting for threads.
    """
    if status != STOPPED and not any(thread.is_alive() for thread in _given_up):
        sys.exit(status)
    if status == 0 and jax.process_count() > 1:
        with contextlib.suppress(RuntimeError):
            jax.distributed.shutdown()  # otherwise the other processes report a failure
    skip_teardown(status)


class _Thread(threading.Thread, Generic[T]):
    """Runs work outside the main thread, which stays free to handle signals."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._result: T
        self._error: BaseException | None = None
        self.finished = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        self.finished.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result
