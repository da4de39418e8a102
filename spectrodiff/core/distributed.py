"""Several processes as one program, and being asked to stop."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn, Protocol, Self, TypeVar

import jax
import numpy as np

from spectrodiff.core.errors import ConfigError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How often a wait looks whether it was asked to stop, and how long an ending waits for a thread.
LOOK_SECONDS, END_SECONDS = 0.1, 2.0
# What was given up, and may never come to an end.
_given_up: list[threading.Thread] = []


def connect(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the other processes of a run; before anything else is done with JAX.

    Without arguments JAX finds them by itself: under Slurm, Open MPI and on Cloud TPUs.

    Raises:
        ConfigError: if they cannot be found or do not answer.
    """
    try:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator_address, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            "--coordinator_address", "processes that find each other", str(error).splitlines()[0]
        ) from error


def is_leader() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0


def largest(value: int) -> int:
    """The largest of the processes' values; all have to ask."""
    return largest_of(value)[0]


def largest_of(*values: int) -> tuple[int, ...]:
    """For each number the largest of the processes' values; all have to ask."""
    if jax.process_count() == 1:
        return values
    from jax.experimental import multihost_utils

    gathered = multihost_utils.process_allgather(np.array(values, np.int32))
    return tuple(int(value) for value in np.max(gathered, axis=0))


def wait_for_all() -> None:
    """Returns when all processes have come here."""
    largest(0)


class StopRequest:
    """Notices SIGTERM and Ctrl-C, so that a run can save before it ends.

    Wherever the training loop waits for something that may take long, it looks here meanwhile. A
    second Ctrl-C ends it at once.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """True once this process was asked."""
        return self._asked

    def agreed(self) -> bool:
        """True once any process was asked; all have to ask this, and get the same answer."""
        # A signal reaches processes at different steps, and a checkpoint needs all of them.
        return largest(int(self._asked)) > 0

    def unless_asked(self, work: Callable[[], T]) -> T | None:
        """Does something that may take long; gives it up, and returns None, when asked to stop.

        Args:
            work: done in a thread of its own, which is left alone when it is given up.

        Raises:
            Exception: what the work raises.
        """
        if self._asked:
            return None
        thread = _Thread(work)
        while not thread.finished.wait(LOOK_SECONDS):
            if self._asked:
                _given_up.append(thread)
                return None
        result: T = thread.result()
        return result

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        logger.warning("%s: saving, then stopping", signal.Signals(number).name)


class Closable(Protocol):
    """Anything that can be closed."""

    def close(self) -> None:
        """Ends it."""
        ...


@contextlib.contextmanager
def closing_soon(thing: Closable) -> Iterator[None]:
    """Closes something in the end, but does not wait for it any longer than a moment."""
    try:
        yield
    finally:
        thread = _Thread(thing.close)
        if thread.finished.wait(END_SECONDS):
            thread.result()
        else:
            _given_up.append(thread)


def leave(status: int) -> NoReturn:
    """Ends the process, also where a thread that was given up would never let it end.

    Args:
        status: of the process; 130 says that someone has lost patience.
    """
    if status != 130 and not any(thread.is_alive() for thread in _given_up):
        sys.exit(status)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if status == 0 and jax.process_count() > 1:
        with contextlib.suppress(RuntimeError):
            jax.distributed.shutdown()  # the others would take a silent end for a failure
    os._exit(status)


class _Thread(threading.Thread):
    """Work beside the main thread, which keeps noticing signals."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self.finished = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        self.finished.set()

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result
