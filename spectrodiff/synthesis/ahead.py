"""Iteration ahead: a thread computes the next item while the last one is being used."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yields the items of an iterator while a thread computes the next one.

    Errors of `items` are raised here. Closing this generator ends the thread after the item that it
    is computing.
    """
    results: queue.Queue[tuple[Any, BaseException | None, bool]] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                if not _put(results, (item, None, False), stop):
                    return
        except BaseException as error:
            _put(results, (None, error, True), stop)
        else:
            _put(results, (None, None, True), stop)

    worker = threading.Thread(target=work, name="spectrodiff-ahead", daemon=True)
    worker.start()
    try:
        while True:
            item, error, last = results.get()
            if error is not None:
                raise error
            if last:
                return
            yield item
    finally:
        stop.set()
        worker.join()


def _put(results: "queue.Queue[Any]", result: Any, stop: threading.Event) -> bool:
    """Waits for room in the queue; returns False if asked to stop."""
    while not stop.is_set():
        try:
            results.put(result, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
