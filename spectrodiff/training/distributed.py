"""Several processes as one program, and being asked to stop."""

import logging
import signal
from types import FrameType, TracebackType
from typing import Any, Self

import jax
import numpy as np

from spectrodiff.errors import ConfigError

logger = logging.getLogger(__name__)

# With several processes, how often they tell each other whether one was asked to stop.
AGREE_EVERY_STEPS = 10


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
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def wait_for_all() -> None:
    """Returns when all processes have come here."""
    largest(0)


class StopRequest:
    """Notices SIGTERM and Ctrl-C, so that a run can save before it ends.

    A second Ctrl-C ends it at once.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def agreed(self, step: int) -> bool:
        """Whether to stop after this step; all processes get the same answer."""
        if jax.process_count() == 1:
            return self._asked
        # A signal reaches processes at different steps, and a checkpoint needs all of them.
        return step % AGREE_EVERY_STEPS == 0 and largest(self._asked) > 0

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
