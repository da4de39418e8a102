"""Ordered parallel map over processes with a limited number of pending results."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from spectrodiff.core.errors import CorpusError
from spectrodiff.core.runtime import kept_from_children
from spectrodiff.data.recordings import Outcome, RecordingGroup, read_group

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_groups(groups: Sequence[RecordingGroup], workers: int) -> Generator[Outcome, None, None]:
    """Reads groups of recordings in several processes; yields the outcomes in order.

    Args:
        groups: groups to read.
        workers: number of processes; 1 reads in this process.

    Raises:
        CorpusError: if a worker process dies.
    """
    return map_in_processes(read_group, groups, workers, lambda group: group.id)


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    name: Callable[[Item], str] = str,
) -> Generator[Result, None, None]:
    """Applies a function to items in several processes; yields the results in order.

    Args:
        function: applied to each item; it, the items and the results can be pickled.
        items: arguments of the function.
        workers: number of processes; 1 works in this process.
        name: returns the name of an item for errors.

    Raises:
        CorpusError: if a worker process dies.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    # Not forked, since forked processes inherit locks held by threads that do not exist in them.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=prepare_worker
    )
    waiting = iter(items)
    started: deque[tuple[Item, Future[Result]]] = deque()
    try:
        # One more than there are workers keeps all busy; more would take memory for results.
        with kept_from_children():
            for item in itertools.islice(waiting, workers + 1):
                started.append((item, pool.submit(function, item)))
        while started:
            item, future = started.popleft()
            try:
                yield future.result()
                for following in itertools.islice(waiting, 1):
                    started.append((following, pool.submit(function, following)))
            except BrokenProcessPool as error:
                expected = "a running worker process"
                raise CorpusError(name(item), expected, "one that was killed") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def prepare_worker() -> None:
    """Lets a worker process ignore Ctrl-C, and end when its parent does."""
    # Ctrl-C is sent to all processes of the group; only the main process reports it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when its parent is killed; otherwise it would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
