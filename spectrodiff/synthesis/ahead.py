"""Iteration ahead: a thread computes the next items while the last one is being used."""

import atexit
import dataclasses
import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Threads that compute ahead, each with the event that ends it.
_workers: dict[threading.Thread, threading.Event] = {}


@dataclasses.dataclass(frozen=True)
class _Result(Generic[Item]):
    """An item, an error, or the end."""

    items: tuple[Item, ...] = ()
    error: BaseException | None = None


def ahead(items: Iterator[Item], waiting: int = 1) -> Generator[Item, None, None]:
    """Yields the items of an iterator while a thread computes those that follow.

    Errors of `items` are raised here. Closing this generator ends the thread after the item that it
    is computing.

    Args:
        items: computes an item when it is asked for the next one.
        waiting: maximum number of items that wait to be used.
    """
    results: queue.Queue[_Result[Item]] = queue.Queue(maxsize=waiting)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                if not _put(results, _Result((item,)), stop):
                    return
        except BaseException as error:
            _put(results, _Result(error=error), stop)
        else:
            _put(results, _Result(), stop)

    worker = threading.Thread(target=work, name="spectrodiff-ahead", daemon=True)
    _workers[worker] = stop
    worker.start()
    try:
        while True:
            result = results.get()
            if result.error is not None:
                raise result.error
            if not result.items:
                return
            yield from result.items
    finally:
        stop.set()
        worker.join()
        _workers.pop(worker, None)


@atexit.register
def _end_all() -> None:
    """Ends the threads of generators that are left alone when the process ends.

    Later, while Python shuts down, such threads stand still, and waiting for one never ends.
    """
    for worker, stop in list(_workers.items()):
        stop.set()
        worker.join()


def _put(
    results: "queue.Queue[_Result[Item]]", result: "_Result[Item]", stop: threading.Event
) -> bool:
    """Waits for room in the queue; returns False if asked to stop."""
    while not stop.is_set():
        try:
            results.put(result, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
