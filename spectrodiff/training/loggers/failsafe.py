"""Loggers that neither end a training run nor slow it, whatever happens to them."""

import logging
import queue
import threading
from collections.abc import Callable, Mapping

import numpy as np

from spectrodiff.core.distributed import abandon
from spectrodiff.training.journal import Outage
from spectrodiff.training.loggers.logger import Logger

logger = logging.getLogger(__name__)

# Calls that may wait for a logger; later ones are dropped.
MAX_WAITING = 1000
# Longest wait for a logger at the end of a run.
CLOSE_SECONDS = 30.0

Call = Callable[[Logger], None]


class Failsafe:
    """Logger whose errors are logged once, and otherwise ignored, even if it ends the program.

    Args:
        name: for log lines.
        open: opens the logger; if that fails, nothing is logged.
    """

    # Services end the program when they refuse a key; an interrupt is for the run.
    _ignored: tuple[type[BaseException], ...] = (Exception, SystemExit)

    def __init__(self, name: str, open: Callable[[], Logger]) -> None:
        self._name, self._open = name, open
        self._outage = Outage(name, "training continues without it")
        self._logger: Logger | None = None
        self._begin()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds points to curves, by their names."""
        self._call(lambda logger: logger.scalars(step, values))

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, 3]."""
        self._call(lambda logger: logger.picture(step, name, pixels))

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Adds mono audio at 16 kHz, float32 [samples]."""
        self._call(lambda logger: logger.audio(step, name, audio))

    def close(self, *, failed: bool = False) -> None:
        """Writes what is left."""
        self._call(lambda logger: logger.close(failed=failed))

    def _begin(self) -> None:
        self._try_open()

    def _call(self, call: Call) -> None:
        self._try(call)

    def _try_open(self) -> None:
        try:
            self._logger = self._open()
        except self._ignored as error:
            self._outage.failed(error)

    def _try(self, call: Call) -> None:
        if self._logger is None:
            return
        try:
            call(self._logger)
        except self._ignored as error:
            self._outage.failed(error)
        else:
            self._outage.succeeded()


class Background(Failsafe):
    """Failsafe logger that works in a thread, which opens it, too.

    Of a logger that hangs, calls are dropped, and the end of the run waits for `CLOSE_SECONDS`.
    """

    # Interrupts arrive in the main thread alone.
    _ignored = (BaseException,)

    def _begin(self) -> None:
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def close(self, *, failed: bool = False) -> None:
        """Waits for what is left to be written, but not for ever."""
        self._waiting.put(lambda logger: logger.close(failed=failed))
        self._waiting.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            abandon(self._thread)
            logger.warning("%s: not finished after %g s; ends as it is", self._name, CLOSE_SECONDS)
        if self._dropped:
            logger.warning("%s: %d records are missing", self._name, self._dropped)

    def _call(self, call: Call) -> None:
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put(call)
        else:
            self._dropped += 1

    def _work(self) -> None:
        self._try_open()
        while (call := self._waiting.get()) is not None:
            self._try(call)
